# syntax=docker/dockerfile:1
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /gatekeeper ./cmd/gatekeeper \
    && mkdir -p /data /scratch

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="gatekeeper" \
      org.opencontainers.image.description="Decides which container images may be called golden" \
      org.opencontainers.image.source="https://github.com/golden-gatekeeper/gatekeeper" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /gatekeeper /usr/local/bin/gatekeeper
COPY --from=build --chown=65532:65532 /data /var/lib/gatekeeper
COPY --from=build --chown=65532:65532 /scratch /tmp
USER 65532:65532
VOLUME /var/lib/gatekeeper
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/gatekeeper"]
CMD ["serve", "--config=/etc/gatekeeper/gatekeeper.yaml"]
