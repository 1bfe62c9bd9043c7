//! `advisories versions`: how an ecosystem orders its versions.

use std::cmp::Ordering;
use std::io::BufRead;

use anyhow::{Context as _, Result, bail};
use engine::versions::Order;
use serde_json::json;

use crate::context::{Context, UsageError};
use crate::output::{self, UNDECIDED, YES};

pub(crate) fn versions(context: &Context, ecosystem: &str, pair: Option<(&str, &str)>) -> Result<u8> {
    let Some(order) = Order::of(ecosystem) else {
        let known = Order::names().collect::<Vec<_>>().join(", ");
        bail!(UsageError(format!(
            "`{ecosystem}` is no ecosystem whose order is known\nhint: one of {known}"
        )));
    };
    let mut answers = Answers { context, ecosystem, text: String::new(), all: Vec::new(), unknown: false };
    match pair {
        Some((left, right)) => answers.add(order, left, right)?,
        None => {
            for (number, line) in std::io::stdin().lock().lines().enumerate() {
                let line = line.context("cannot read stdin")?;
                let line = line.strip_suffix('\r').unwrap_or(&line);
                let Some((left, right)) = line.split_once('\t') else {
                    bail!(UsageError(format!("line {} is not two versions with a tab between", number + 1)));
                };
                answers.add(order, left, right)?;
            }
        }
    }
    answers.done()
}

struct Answers<'a> {
    context: &'a Context,
    ecosystem: &'a str,
    text: String,
    all: Vec<serde_json::Value>,
    unknown: bool,
}

/// So much text is printed at a time.
const CHUNK_BYTES: usize = 64 << 10;

impl Answers<'_> {
    fn add(&mut self, order: Order, left: &str, right: &str) -> Result<()> {
        let sign = match order.compare(left, right) {
            Some(Ordering::Less) => "<",
            Some(Ordering::Equal) => "=",
            Some(Ordering::Greater) => ">",
            None => "?",
        };
        self.unknown |= sign == "?";
        if self.context.json {
            self.all.push(json!({ "left": left, "right": right, "order": sign }));
            return Ok(());
        }
        self.text += sign;
        self.text.push('\n');
        if self.text.len() >= CHUNK_BYTES {
            output::text(&std::mem::take(&mut self.text))?;
        }
        Ok(())
    }

    fn done(self) -> Result<u8> {
        if self.context.json {
            output::document("versions", json!({ "ecosystem": self.ecosystem, "pairs": self.all }))?;
        } else {
            output::text(&self.text)?;
        }
        Ok(if self.unknown { UNDECIDED } else { YES })
    }
}
