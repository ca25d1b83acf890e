#!/usr/bin/env bash
# Runs one real engine from Maven Central jars on a loopback port, in the foreground.
#   start.sh opensearch|elasticsearch [PORT [setting=value...]]      PORT 0 (the default): a free one
#   start.sh --find-java                                             only says which Java it would take
# Prints `ready http://127.0.0.1:PORT` once it answers, and ends with its standard input or with ctrl-c.
# The jars (71 / 44 MB) are fetched once into ENGINE_CACHE. Needs Maven and Java >= 21 (ENGINE_JAVA chooses one).
set -euo pipefail
engine=$1 port=${2:-0}
shift "$(($# < 2 ? $# : 2))"
here=$(cd "$(dirname "$0")" && pwd)

missing() { # what, how to get it
  printf '%s is missing, so no real engine can be started: %s\n' "$1" "$2" >&2
  exit 69
}

is_recent() {
  [ -x "$1/bin/java" ] && [ "$("$1/bin/java" -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p')" -ge 21 ]
}

find_java() {
  local candidate
  for candidate in "${ENGINE_JAVA:-}" "${JAVA_HOME:-}" /usr/lib/jvm/* "$(readlink -f "$(command -v java)" | sed 's:/bin/java$::')"; do
    if [ -n "$candidate" ] && is_recent "$candidate" 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
}

fetch_and_compile() { # into "$1"
  mvn -q -B -Dstyle.color=never -f "$here/$engine/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1/lib" >&2
  if [ "$engine" = elasticsearch ]; then # its HTTP transport is loaded as a module, as a distribution does
    mkdir -p "$1/modules/transport-netty4"
    mv "$1"/lib/transport-netty4-*.jar "$1"/lib/netty-*.jar "$1/modules/transport-netty4/"
    cp "$here/elasticsearch/plugin-descriptor.properties" "$1/modules/transport-netty4/"
  fi
  # A compiler from the same place, so that a bare Java runtime is enough.
  mvn -q -B dependency:copy -Dartifact=org.eclipse.jdt:ecj:3.46.100 -DoutputDirectory="$1/compiler" >&2
  "$java/bin/java" -jar "$1"/compiler/ecj-*.jar -21 -nowarn -cp "$(printf '%s:' "$1"/lib/*.jar)" -d "$1/classes" "$here/$engine/Engine.java" >&2
}

java=$(find_java)
[ -n "$java" ] || missing 'Java 21 or newer' 'install openjdk-21-jre-headless or newer, or set ENGINE_JAVA to the folder of one'
if [ "$engine" = --find-java ]; then
  printf '%s\n' "$java"
  exit
fi
command -v mvn >/dev/null || missing 'mvn' 'install maven (it fetches the jars)'

# The folder's name covers what it was made from: a new version or a changed starter never meets old jars or classes.
version=$(cat "$here/start.sh" "$here/$engine"/* | sha256sum | cut -c1-12)
cache=${ENGINE_CACHE:-$HOME/.cache/podium-engines}/$engine-$version
if [ ! -d "$cache" ]; then
  fresh=$cache.$$
  trap 'rm -rf "$fresh"' EXIT
  mkdir -p "$fresh"
  fetch_and_compile "$fresh"
  mv -T "$fresh" "$cache" 2>/dev/null || [ -d "$cache" ] # another start may have been faster
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/podium-$engine.XXXXXX")
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/config" "$home/plugins"
run=("$java/bin/java" -Xms1g -Xmx1g -Djava.io.tmpdir="$home" -Dlog4j2.configurationFile="$here/log4j2.properties")
modules=
if "$java/bin/java" --list-modules | grep -q '^jdk.incubator.vector@'; then
  modules=,jdk.incubator.vector # faster vector search; small runtimes lack it
fi
if [ "$engine" = elasticsearch ]; then
  cp -r "$cache/modules" "$home/modules"
  run+=(-Des.path.home="$home" --enable-native-access=org.elasticsearch.nativeaccess,org.apache.lucene.core
    --module-path "$cache/lib" --add-modules="jdk.net,ALL-MODULE-PATH$modules" -cp "$cache/classes")
else
  run+=(--enable-native-access=ALL-UNNAMED --add-modules="jdk.net$modules" -cp "$cache/classes:$cache/lib/*")
fi
"${run[@]}" Engine "$home" "$port" "$@" 2>&1
