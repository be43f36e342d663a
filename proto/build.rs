//! Compiles the `.proto` files without protoc, so that a clean checkout builds with cargo alone.

const FILES: [&str; 6] = [
    "rota/trust/v1/trust.proto",
    "rota/accounts/v1/accounts.proto",
    "rota/deviceauth/v1/deviceauth.proto",
    "rota/inventory/v1/inventory.proto",
    "rota/deployments/v1/deployments.proto",
    "rota/workflows/v1/workflows.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // tonic-prost-build does not forward this when it is handed compiled descriptors.
    println!("cargo:rerun-if-changed=rota");
    let descriptors = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
