//! The questions of `setup`, one after the other.

use std::{
    fmt::Display,
    io::{BufRead, Write},
};

use anyhow::{Context, bail};

use super::{
    Flags,
    answers::{Answers, certificate, device_type, interval, server_url, word},
};

/// Asks on a terminal. A bad answer is explained and asked for again; the end of input ends it all.
pub(super) struct Wizard<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Wizard<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    /// Asks for everything that no flag says. `reach` tries the server.
    pub(super) fn ask(
        &mut self,
        mut answers: Answers,
        flags: &Flags,
        reach: impl Fn(&Answers) -> anyhow::Result<()>,
    ) -> anyhow::Result<Answers> {
        self.tell("Each question shows what holds if you just press Enter.")?;
        if flags.device_type.is_none() {
            let present = answers.device_type;
            answers.device_type = self.question("Type of this device", &present, device_type)?;
        }
        loop {
            self.ask_for_server(&mut answers, flags)?;
            if flags.quiet {
                break;
            }
            match reach(&answers) {
                Ok(()) => {
                    self.tell("The server answers.")?;
                    break;
                }
                Err(error) => self.tell(format_args!("{error:#}"))?,
            }
            if self.question("Keep it all the same? yes or no", "no", yes_or_no)? {
                break;
            }
            if flags.server_url.is_some() && flags.server_certificate.is_some() {
                bail!("nothing was written");
            }
        }
        if flags.tenant_token.is_none() {
            let present = answers.tenant_token;
            answers.tenant_token =
                self.question("Tenant token, if the server wants one", &present, word)?;
        }
        for (text, flag, place) in [
            ("Seconds between two looks for updates", &flags.update_poll, &mut answers.update_poll),
            (
                "Seconds between two reports of the inventory",
                &flags.inventory_poll,
                &mut answers.inventory_poll,
            ),
            (
                "Most seconds before a failed one is tried again",
                &flags.retry_poll,
                &mut answers.retry_poll,
            ),
        ] {
            if flag.is_none() {
                *place = self.question(text, &place.as_secs().to_string(), interval)?;
            }
        }
        Ok(answers)
    }

    fn ask_for_server(&mut self, answers: &mut Answers, flags: &Flags) -> anyhow::Result<()> {
        if flags.server_url.is_none() {
            let present = std::mem::take(&mut answers.server_url);
            answers.server_url = self.question("Address of the server", &present, server_url)?;
        }
        if flags.server_certificate.is_some() {
            return Ok(());
        }
        let present = answers.server_certificate.take();
        let present = present.unwrap_or_default().display().to_string();
        let text = "File with a certificate to trust besides the system's, if any";
        answers.server_certificate = self.question(text, &present, certificate)?;
        Ok(())
    }

    /// Asks until the answer is good.
    fn question<T>(
        &mut self,
        text: &str,
        default: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        loop {
            write!(self.output, "{text} [{default}]: ")
                .and_then(|()| self.output.flush())
                .context("cannot ask")?;
            let mut line = String::new();
            if self.input.read_line(&mut line).context("cannot read the answer")? == 0 {
                bail!("the input ended; nothing was written");
            }
            let answer = line.trim();
            match check(if answer.is_empty() { default } else { answer }) {
                Ok(value) => return Ok(value),
                Err(problem) => self.tell(problem)?,
            }
        }
    }

    fn tell(&mut self, text: impl Display) -> anyhow::Result<()> {
        writeln!(self.output, "{text}").context("cannot write to the terminal")
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("yes or no?".to_owned()),
    }
}
