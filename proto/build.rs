//! Compiles the contracts without an installed `protoc`: protox parses them,
//! tonic-prost-build writes the code, and the descriptors are kept beside it
//! for server reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const CONTRACTS: [&str; 2] = ["lock/v1/lock.proto", "plan/v1/plan.proto"];

/// What the contracts import and other crates have types for.
const IMPORTS: [&str; 1] = ["google/rpc/status.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in CONTRACTS.iter().chain(&IMPORTS) {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(CONTRACTS, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(descriptors)?;
    Ok(())
}
