//! `rota-artifact sign`.

use std::io::BufWriter;

use anyhow::anyhow;
use rota_artifact::{Resign, WriteError};

use super::{args::SignArgs, failure::Failure, open, output::Output, write::signing_key};

pub(crate) fn run(args: &SignArgs) -> Result<(), Failure> {
    let key = signing_key(&args.key)?;
    let input = open(&args.artifact)?;
    let output = Output::create(args.output_path.as_ref().unwrap_or(&args.artifact))?;
    let resign = if args.force { Resign::Replace } else { Resign::Refuse };
    let copy = BufWriter::with_capacity(256 << 10, output.file());
    rota_artifact::sign(input, copy, &key, resign).map_err(|error| match error {
        WriteError::AlreadySigned => {
            anyhow!("Artifact already signed, refusing to re-sign. Use --force to override")
        }
        error => error.into(),
    })?;
    output.finish()
}
