# syntax=docker/dockerfile:1
# Three stages: the first compiles the gateway into a virtual environment; the second lays out a root with Python and the
# libraries it needs, from Debian's packages, without a shell; the third is nothing but these two. See docs/docker.md.
#
# A tag can move. `docker buildx imagetools inspect debian:trixie-20251103-slim` shows its digest for all platforms:
#   docker build --build-arg BASE=debian:trixie-20251103-slim@sha256:... .
ARG BASE=debian:trixie-20251103-slim

FROM ${BASE} AS build
# Versions are those of the release: fixes arrive with each build, and older versions leave the archive.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev python3.13-dev python3.13-venv \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY locks/runtime.txt locks/build.txt locks/
RUN python3.13 -m venv /opt/gateway \
 && /opt/gateway/bin/pip install --require-hashes -r locks/runtime.txt \
 && python3.13 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r locks/build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE config.yaml ./
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/gateway/bin/pip install --no-deps /wheels/*.whl \
 && /opt/gateway/bin/pip uninstall --yes pip \
 && find /opt/gateway -name __pycache__ -prune -exec rm -rf {} + \
 && /opt/gateway/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/gateway/lib

FROM ${BASE} AS root
WORKDIR /packages
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3.13-minimal \
 && apt-get download base-files libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.13-minimal \
      libpython3.13-stdlib libsqlite3-0 libssl3t64 libstdc++6 libuuid1 libzstd1 media-types netbase python3.13-minimal \
      tzdata zlib1g \
 && rm -rf /var/lib/apt/lists/*
# The fields of each package stay in status.d, for scanners that look for known weaknesses.
RUN mkdir -p /image/var/lib/dpkg/status.d \
 && for package in *.deb; do \
      dpkg-deb --extract "$package" /image \
      && dpkg-deb --field "$package" > "/image/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)" || exit 1; \
    done \
 && install -d -m 1777 /image/tmp \
 && mkdir -p /image/etc/ssl/certs /image/etc/gateway \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && printf 'root:x:0:0:root:/:/nonexistent\ngateway:x:65532:65532:gateway:/:/nonexistent\n' > /image/etc/passwd \
 && printf 'root:x:0:\ngateway:x:65532:\n' > /image/etc/group \
 && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
 && find /image/usr/share/doc -type f ! -name copyright -delete \
 && rm -rf /image/usr/share/man /image/usr/share/lintian /image/usr/share/locale /image/usr/share/bug /image/etc/update-motd.d \
 && python3.13 -m compileall -q --invalidation-mode unchecked-hash -s /image /image/usr/lib/python3.13 \
 && mkdir /state

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bearergate" \
      org.opencontainers.image.description="An API gateway and authentication sidecar: bearer tokens in, verified identity headers out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=root /image /
# Sessions in SQLite need a directory that can be written to. Mount a volume there, or set STATE_URL to a Redis.
COPY --from=root --chown=65532:65532 /state /var/lib/gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt STATE_URL=sqlite:/var/lib/gateway/gateway.db
USER 65532:65532
EXPOSE 8080 9090
# Ready is what those wait for who start after it. A configuration without `ops` has nobody to ask: --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["gateway", "health", "/etc/gateway/config.yaml"]
ENTRYPOINT ["gateway"]
CMD ["serve", "/etc/gateway/config.yaml"]
