//! `rota-artifact validate`.

use anyhow::anyhow;
use rota_artifact::{Error, Limits, Signature};

use super::{
    args::ValidateArgs,
    failure::{Code, Failure},
    open, print, progress, verify_keys,
};

pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let keys = verify_keys(&args.key)?;
    let file = open(&args.artifact)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let bar = progress::bar(size, args.no_progress);
    let source = progress::watch(&bar, file);
    let result = rota_artifact::validate(source, &Limits::default(), keys.as_ref());
    bar.finish_and_clear();
    let summary = result.map_err(|error| match error {
        Error::MissingSignature => Failure::new(Code::Invalid, anyhow!("missing signature")),
        error => Failure::new(Code::Invalid, error),
    })?;
    if summary.signature == Signature::Unverified {
        let error = anyhow!("missing verifier: the Artifact is signed, give its key with -k");
        return Err(Failure::new(Code::Invalid, error));
    }
    let text = format!("Artifact file '{}' validated successfully\n", args.artifact.display());
    Ok(print(&text)?)
}
