# One image for each program that runs in a cluster; `make images` builds them all.
#
#   docker build --target rota-gateway --tag rota-gateway .
#
# An image has its program, the libraries that it names, the public authorities and a user, as
# .ci/rootfs lays them out, and nothing else: no shell, no package manager.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /rota
COPY . .
# As the programs that measure it are built; cargo's own folders are no part of any image.
RUN cargo build --locked --release --bins \
      -p rota-gateway -p rota-accounts -p rota-deviceauth -p rota-inventory -p rota-deployments \
      -p rota-workflows -p rotactl
RUN for program in rota-gateway rota-accounts rota-deviceauth rota-inventory rota-deployments \
      rota-workflows rotactl; \
    do .ci/rootfs "target/release/$program" "/images/$program" || exit 1; done

FROM scratch AS image
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Rota" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
USER 65532:65532

FROM image AS rota-gateway
LABEL org.opencontainers.image.title="rota-gateway" \
      org.opencontainers.image.description="Rota's door for devices and people"
COPY --from=build /images/rota-gateway /
EXPOSE 8443 9464
ENTRYPOINT ["/rota-gateway"]

FROM image AS rota-accounts
LABEL org.opencontainers.image.title="rota-accounts" \
      org.opencontainers.image.description="Rota's tenants and people"
COPY --from=build /images/rota-accounts /
EXPOSE 8090 9464
ENTRYPOINT ["/rota-accounts"]

FROM image AS rota-deviceauth
LABEL org.opencontainers.image.title="rota-deviceauth" \
      org.opencontainers.image.description="Rota's devices and their tokens"
COPY --from=build /images/rota-deviceauth /
EXPOSE 8090 9464
ENTRYPOINT ["/rota-deviceauth"]

FROM image AS rota-inventory
LABEL org.opencontainers.image.title="rota-inventory" \
      org.opencontainers.image.description="Rota's attributes and groups of devices"
COPY --from=build /images/rota-inventory /
EXPOSE 8090 9464
ENTRYPOINT ["/rota-inventory"]

FROM image AS rota-deployments
LABEL org.opencontainers.image.title="rota-deployments" \
      org.opencontainers.image.description="Rota's Artifacts and deployments"
COPY --from=build /images/rota-deployments /
EXPOSE 8090 9464
ENTRYPOINT ["/rota-deployments"]

FROM image AS rota-workflows
LABEL org.opencontainers.image.title="rota-workflows" \
      org.opencontainers.image.description="Rota's jobs over events"
COPY --from=build /images/rota-workflows /
EXPOSE 8090 9464
ENTRYPOINT ["/rota-workflows"]

FROM image AS rotactl
LABEL org.opencontainers.image.title="rotactl" \
      org.opencontainers.image.description="Rota's command line for operators"
COPY --from=build /images/rotactl /
ENTRYPOINT ["/rotactl"]
