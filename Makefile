# One short list of commands, the same everywhere.

.PHONY: test lint bench soak image demo

# Every test: gateway, simulated portal, example bots. Needs Rust, Python 3.11+, Node 20+, openssl.
test:
	cargo test --workspace --locked

# What reviewers would object to. Needs Node for buf.
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	.ci/proto

# What the gateway costs, what pressure does to it, who gets what then, what many portals cost, how soon
# events arrive, what it costs to take those that are posted, what streams cost, and what a relay
# adds.
bench:
	cargo bench --bench overhead --bench pressure --bench fairness --bench portals --bench polling --bench webhooks --bench streams --bench relay --locked

# The randomised tests, the proof, the crashes and the saturation with full counts, and the gateway
# under every reading of what is uncertain, and built without a network. Takes long.
soak:
	PROPTEST_CASES=100000 GATEWAY_KILLS=200 GATEWAY_RESTARTS=50 GATEWAY_SATURATED_MINUTES=60 GATEWAY_PROOF_CALLS=100000 \
	  cargo test --release --workspace --locked
	.ci/quirks
	.ci/leaks
	.ci/offline

# The images as they are released, tried and left in target/images. Needs Debian, and its buildah.
image:
	.ci/image --full

# The whole story once, with a simulated portal.
demo:
	cargo run --release --locked -- demo
