//! `rota-artifact read`.

use std::io::Seek;

use anyhow::{Context, anyhow};
use rota_artifact::{Error, Limits, Summary, VerifyKeys};
use serde_json::{Value, json};

use super::{
    args::{OutputForm, ReadArgs},
    failure::{Code, Failure},
    open, print, progress, text, verify_keys,
};

/// What checking the signature came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unsigned,
    NoKey,
    Verified,
    Failed,
}

pub(crate) fn run(args: &ReadArgs) -> Result<(), Failure> {
    let keys = verify_keys(&args.key)?;
    let (summary, verdict) = examine(args, keys.as_ref())?;
    match args.output {
        OutputForm::Text => print(&text::render(&summary, verdict))?,
        OutputForm::Json => print(&as_json(&summary, verdict)?)?,
    }
    // Who gives a key wants to know.
    match verdict {
        Verdict::Failed => {
            Err(Failure::new(Code::Invalid, anyhow!("the signature does not match any key")))
        }
        _ => Ok(()),
    }
}

/// An Artifact whose signature does not match is shown all the same, and said to be so.
fn examine(args: &ReadArgs, keys: Option<&VerifyKeys>) -> Result<(Summary, Verdict), Failure> {
    let mut file = open(&args.artifact)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let mut read = |keys: Option<&VerifyKeys>| {
        file.rewind().map_err(Error::Io)?;
        let bar = progress::bar(size, args.no_progress);
        let source = progress::watch(&bar, &file);
        let result = rota_artifact::validate(source, &Limits::default(), keys);
        bar.finish_and_clear();
        result
    };
    let (result, verdict) = match read(keys) {
        Err(Error::WrongSignature) => (read(None), Verdict::Failed),
        Err(Error::MissingSignature) => (read(None), Verdict::Unsigned),
        result if keys.is_some() => (result, Verdict::Verified),
        Ok(summary) if summary.signature.is_signed() => (Ok(summary), Verdict::NoKey),
        result => (result, Verdict::Unsigned),
    };
    let summary = result.map_err(|error| Failure::new(Code::Usage, error))?;
    Ok((summary, verdict))
}

fn as_json(summary: &Summary, verdict: Verdict) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(summary).context("cannot express this as JSON")?;
    if let Value::Object(fields) = &mut value {
        let signature = match verdict {
            Verdict::Unsigned => "unsigned",
            Verdict::NoKey => "unverified",
            Verdict::Verified => "verified",
            Verdict::Failed => "failed",
        };
        fields.insert("signature".to_owned(), json!(signature));
    }
    Ok(format!("{value:#}\n"))
}
