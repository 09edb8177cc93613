# syntax=docker/dockerfile:1
# Two stages: the first installs locked packages into a virtual environment and compiles the gateway, the second holds only
# that and Python.
FROM python:3.13-slim-trixie AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY locks/runtime.txt locks/build.txt locks/
RUN python -m venv /opt/gateway && /opt/gateway/bin/pip install --require-hashes -r locks/runtime.txt \
 && python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r locks/build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE config.yaml ./
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/gateway/bin/pip install --no-deps /wheels/*.whl \
 && /opt/gateway/bin/pip uninstall --yes pip \
 && find /opt/gateway -name '__pycache__' -prune -exec rm -rf {} + \
 && /opt/gateway/bin/python -m compileall -q /opt/gateway/lib

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="bearergate" \
      org.opencontainers.image.description="An API gateway and authentication sidecar: bearer tokens in, verified identity headers out" \
      org.opencontainers.image.licenses="Apache-2.0"
# Sessions in SQLite need a directory that can be written to. Mount a volume there, or set STATE_URL to a Redis.
RUN useradd --system --uid 65532 --no-create-home --shell /usr/sbin/nologin gateway \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    STATE_URL=sqlite:/var/lib/gateway/gateway.db
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["gateway"]
CMD ["serve", "/etc/gateway/config.yaml"]
