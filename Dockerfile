# One image for every role; the command chooses: serve (default), api, worker, scheduler.
#   docker build -t nexus-continuum:latest .                        a static program, no shell, not root
#   docker build -t nexus-continuum:gpu --target gpu .              with NVML, which reads NVIDIA GPUs
#   docker buildx build --platform linux/amd64,linux/arm64 .        for both
ARG GO_IMAGE=golang:1.26-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${GO_IMAGE} AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .

FROM source AS build
ARG VERSION=""
RUN make static VERSION="$VERSION" && deploy/image/libsystemd.sh /instead

# NVML is reached by cgo.
FROM source AS build-gpu
ARG VERSION=""
RUN make stripped VERSION="$VERSION" && deploy/image/libsystemd.sh /instead

FROM ${DEBIAN_IMAGE} AS debian
# redis-server serves `nexus serve` when no NEXUS_REDIS_URL is given.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates redis-server
COPY deploy/image/root.sh /usr/local/bin/root.sh

FROM debian AS root
COPY --from=build /src/bin/nexus /usr/local/bin/nexus
COPY --from=build /instead /usr/local/lib/instead
RUN root.sh /image

FROM debian AS root-gpu
COPY --from=build-gpu /src/bin/nexus /usr/local/bin/nexus
COPY --from=build-gpu /instead /usr/local/lib/instead
RUN root.sh /image

FROM scratch AS gpu
COPY --from=root-gpu /image /
USER 10001:10001
WORKDIR /app
ENV PATH=/usr/local/bin:/usr/bin \
    NEXUS_DATA_DIR=/app NEXUS_LOG_DIR=/app/logs NEXUS_LISTEN=0.0.0.0:8000 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=utility,compute
VOLUME ["/app/nexus_checkpoints", "/app/logs", "/app/redis"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["nexus", "health"]
ENTRYPOINT ["nexus"]
CMD ["serve"]

FROM scratch AS nexus
COPY --from=root /image /
USER 10001:10001
WORKDIR /app
ENV PATH=/usr/local/bin:/usr/bin \
    NEXUS_DATA_DIR=/app NEXUS_LOG_DIR=/app/logs NEXUS_LISTEN=0.0.0.0:8000
VOLUME ["/app/nexus_checkpoints", "/app/logs", "/app/redis"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["nexus", "health"]
ENTRYPOINT ["nexus"]
CMD ["serve"]
