FROM rust:1.95-bookworm AS build
WORKDIR /podium
COPY . .
# Without the demo: its engine and its shop are not for production.
RUN cargo build --locked --release --no-default-features --bin podium

FROM debian:bookworm-slim
# Certificate authorities: models come over https.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/podium --create-home podium
COPY --from=build /podium/target/release/podium /usr/local/bin/podium
USER podium
# Holds the models that were fetched.
VOLUME /var/lib/podium
EXPOSE 9280
# The admin port stays inside the container; bash speaks TCP, so no client needs to be installed.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9281 && printf 'GET /health HTTP/1.1\\r\\nhost: podium\\r\\nconnection: close\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["podium"]
CMD ["serve", "--config", "/etc/podium/podium.toml"]
