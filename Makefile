# Rota's commands. Each is a line or three; what they call holds the logic.
.PHONY: setup build run demo test e2e-vm charts images bench bench-client deb fmt lint doc sqlx openapi

CARGO ?= cargo

# All that the client can do, so that everything is compiled once and tests find it. A plain build
# of the client (-p rota-client) is the small one.
FEATURES = --features rota-client/dbus,rota-client/pkcs11

setup:            ## install what the machine lacks
	@.ci/setup

build: setup      ## every program, for development
	$(CARGO) build --workspace --bins $(FEATURES)

run: setup        ## the whole platform in one process, https://localhost:8443
	$(CARGO) run -p rota-server

demo: build       ## ten real devices: two updates that take, one that half of them roll back
	target/debug/rota-demo

test: build       ## everything, on real parts
	$(CARGO) test --workspace $(FEATURES)

e2e-vm: build     ## virtual machines that are updated and lose power; CUTS=500 for a long run
	.ci/client
	target/debug/rota-e2e-vm

charts: build     ## the Helm chart, with the real helm
	.ci/charts-tools
	$(CARGO) test --workspace $(FEATURES) --test charts

images:           ## the container images, with Docker; REGISTRY=registry.example.com/ota
	.ci/images $(REGISTRY)

bench: setup      ## ratios against bare programs, measured in one run
	$(CARGO) build --release --bins -p rota-server -p rota-client -p rota-artifact -p rota-fleet
	target/release/rota-bench

bench-client: build  ## the device client: its size, its memory, and what it costs while idle
	.ci/client
	.ci/cross aarch64 target/cross/out/aarch64
	.ci/cross armv7 target/cross/out/armv7
	target/debug/rota-bench --only client --client target/client/client/rota-client \
	  --client-build aarch64=target/cross/out/aarch64 --client-build armv7=target/cross/out/armv7

deb: setup        ## the device client as a Debian package, in target/debian
	@command -v cargo-deb >/dev/null || $(CARGO) install --locked --quiet cargo-deb@3.8.0
	rm -f target/debian/rota-client_*.deb
	.ci/client --features dbus,pkcs11
	CARGO_TARGET_DIR=target/client $(CARGO) deb --locked --no-build -p rota-client --profile client \
	  --output target/debian/
	.ci/try-deb target/debian/rota-client_*.deb

fmt:              ## format
	$(CARGO) fmt --all

lint:             ## clippy, warnings as errors
	$(CARGO) clippy --workspace --all-targets $(FEATURES) -- -D warnings

doc:              ## the documentation of every crate
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps $(FEATURES)

sqlx: setup       ## write the checked queries' data (.sqlx) from the migrations
	.ci/sqlx

openapi:          ## write the agreed description of the API from the gateway's code
	UPDATE_SNAPSHOTS=1 $(CARGO) test -p rota-gateway --test it the_description_is_the_one_that_was_agreed
