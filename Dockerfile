# syntax=docker/dockerfile:1

FROM docker.io/library/rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
# The target directory is a cache and not part of the layer, so what it gives is copied out at once.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --target "$(uname -m)-unknown-linux-musl" \
    && install -D --mode=755 target/*-unknown-linux-musl/dist/oidc-mirror /image/usr/bin/oidc-mirror \
    && install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d --mode=1777 /image/tmp \
    && install -d --mode=755 /image/var/lib \
    && install -d --mode=700 /state/oidc-mirror

# The binary is static: the image holds it, the CA roots for S3, a /tmp for the demo, and a directory
# that the user may write to, for state-dir and for a volume in its place.
FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /state/ /var/lib/
USER 65532:65532
ENTRYPOINT ["/usr/bin/oidc-mirror"]
