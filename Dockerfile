# The image of Relais: the binary on glibc, libstdc++ and certificates, as an ordinary user. `relais stack
# export` writes this file with another first stage, which takes the binary that it puts beside it.

FROM node:24.11.1-bookworm-slim AS binary
WORKDIR /src
COPY . .
# Shown by `relais version`.
ARG COMMIT=unknown
# Bun comes from npm.
RUN --mount=type=cache,target=/root/.npm --mount=type=cache,target=/root/.bun/install/cache \
    COMMIT=$COMMIT node src/build/bootstrap.mjs build && mv dist/relais /relais

# Folders that volumes are mounted on: a new volume takes over their owner and mode.
FROM busybox:1.37.0 AS folders
RUN mkdir -p /out/data /out/logs /out/share/prometheus /out/share/alertmanager /out/share/grafana /out/share/alloy && \
    chmod 0700 /out/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=binary --chmod=0755 /relais /usr/local/bin/relais
COPY --from=folders --chown=65532:65532 /out /var/lib/relais
USER 65532:65532
WORKDIR /var/lib/relais
ENV RELAIS_DATA=/var/lib/relais/data RELAIS_HOST=0.0.0.0
EXPOSE 8080
# Not /health/ready: a server that loads models, or stands on its fall-back, must not be restarted.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/relais", "healthcheck"]
LABEL org.opencontainers.image.title="Relais" \
      org.opencontainers.image.description="Model registry and ONNX inference in one binary" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/local/bin/relais"]
CMD ["serve"]
