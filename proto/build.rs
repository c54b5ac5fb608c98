//! Compiles the contracts without an installed `protoc`: protox parses them,
//! tonic-prost-build writes the code, and the descriptors are kept beside it
//! for server reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const CONTRACTS: [&str; 1] = ["lock/v1/lock.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for contract in CONTRACTS {
        println!("cargo::rerun-if-changed={contract}");
    }
    let descriptors = protox::compile(CONTRACTS, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
