#!/usr/bin/env bash
# Runs one real engine from Maven Central jars on a loopback port, in the foreground.
#   start.sh opensearch|elasticsearch [PORT [setting=value...]]      PORT 0 (the default): a free one
# Prints `ready http://127.0.0.1:PORT` once it answers, and ends with its standard input or with ctrl-c.
# The jars (71 / 44 MB) are fetched once into ENGINE_CACHE. Needs Maven and a JDK >= 21 (ENGINE_JDK chooses one).
set -euo pipefail
engine=$1 port=${2:-0}
shift "$(($# < 2 ? $# : 2))"
here=$(cd "$(dirname "$0")" && pwd)

missing() { # what, how to get it
  printf '%s is missing, so no real %s can be started: %s\n' "$1" "$engine" "$2" >&2
  exit 69
}

is_recent_jdk() {
  [ -x "$1/bin/javac" ] && [ "$("$1/bin/javac" -version 2>&1 | sed -E 's/javac ([0-9]+).*/\1/')" -ge 21 ]
}

find_jdk() {
  local candidate
  for candidate in "${ENGINE_JDK:-}" "${JAVA_HOME:-}" /usr/lib/jvm/* "$HOME"/.jdk/* "$(readlink -f "$(command -v javac)" | sed 's:/bin/javac$::')"; do
    if [ -n "$candidate" ] && is_recent_jdk "$candidate" 2>/dev/null; then
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
  "$jdk/bin/javac" --release 21 -nowarn -cp "$1/lib/*" -d "$1/classes" "$here/$engine/Engine.java" >&2
}

jdk=$(find_jdk)
[ -n "$jdk" ] || missing 'a JDK 21 or newer' 'install openjdk-21-jdk-headless or newer, or set ENGINE_JDK to the folder of one'
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
java=("$jdk/bin/java" -Xms1g -Xmx1g -Djava.io.tmpdir="$home" -Dlog4j2.configurationFile="$here/log4j2.properties")
if [ "$engine" = elasticsearch ]; then
  cp -r "$cache/modules" "$home/modules"
  java+=(-Des.path.home="$home" --enable-native-access=org.elasticsearch.nativeaccess,org.apache.lucene.core
    --module-path "$cache/lib" --add-modules=jdk.net,jdk.incubator.vector,ALL-MODULE-PATH -cp "$cache/classes")
else
  java+=(--enable-native-access=ALL-UNNAMED --add-modules jdk.incubator.vector -cp "$cache/classes:$cache/lib/*")
fi
"${java[@]}" Engine "$home" "$port" "$@" 2>&1
