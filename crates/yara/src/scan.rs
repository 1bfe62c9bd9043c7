//! Compiled rules, and what they say of bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use boreal::compiler::{CompilerParams, ExternalValue};
use boreal::scanner::{
    CallbackEvents, EvaluatedRule, ScanCallbackResult, ScanError, ScanEvent, ScanParams, StringMatches,
};
use boreal::{Compiler, MetadataValue, Scanner};
use evidence::tree::{MatchedString, RuleMatch};

use crate::{Error, files};

/// Matches of all strings that are kept at a time; each takes a hundred bytes.
const MATCHES_MAX: usize = 1_000_000;
/// Matches of one string: what `boreal` has unless told otherwise, and a rule can hardly do with less than the other.
const OF_STRING_MAX: usize = 1_000;
const OF_STRING_MIN: usize = 50;
/// A string without a fixed part is looked for from match to match, each time over what is left at worst.
const STEPS_MAX: usize = 16 << 30;
/// So much is kept of a match.
const DATA_MAX_BYTES: usize = 32;
/// So much is told of the rules that match one member, and of each of them.
const RULES_MAX: usize = 64;
const STRINGS_MAX: usize = 8;
const OFFSETS_MAX: usize = 4;
const META_MAX: usize = 16;
const TEXT_MAX_CHARACTERS: usize = 200;

/// What evaluating rules may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For one member. It is looked at behind each rule, and every 10,240 steps of a rule.
    pub member: Duration,
    /// For all members together.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { member: Duration::from_secs(30), total: Duration::from_secs(600) }
    }
}

/// Compiled rules. What evaluating them took so far counts towards the limit of all members together.
#[derive(Debug)]
pub struct Rules {
    scanner: Scanner,
    limits: Limits,
    of_string: usize,
    spent_nanos: AtomicU64,
}

/// What rules say of some bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Looked {
    /// The rules that match, in the order of their files.
    pub matches: Vec<RuleMatch>,
    /// What was not found out.
    pub open: Option<Open>,
}

/// Calls what is not ours and reads bytes of an enemy: if it panics, that is an answer, and no end of the program.
fn unless_it_fails<T>(look: impl FnOnce() -> T) -> Result<T, String> {
    // What was collected until then is a list of matches, each whole.
    catch_unwind(AssertUnwindSafe(look)).map_err(|panic| {
        let why = panic.downcast_ref::<&str>().map(|why| (*why).to_owned());
        let why = why.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("the rules' engine failed: {}", why.as_deref().unwrap_or("for an unknown reason"))
    })
}

/// Why it is not known whether rules match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Open {
    /// The time for one member, or for all, was over.
    Time(String),
    /// A string of these rules, which did not match, has more matches than are kept; or more rules match than are told.
    Matches(String),
    /// The engine or one of its modules, which are not ours, gave up on these bytes.
    Failed(String),
}

impl Rules {
    /// Reads and compiles the rules of a file, or of all files below a folder whose names end in `.yar` or `.yara`.
    ///
    /// # Errors
    /// If a file cannot be read, includes what is not below the folder, or has a rule that does not compile.
    pub fn load(path: &Path, limits: Limits) -> Result<Self, Error> {
        Self::compiled(files::read(path)?, limits, || Error::Nothing(path.to_path_buf()))
    }

    /// Compiles rule files that somebody has read, by their names: they may include each other, and nothing else is read.
    ///
    /// # Errors
    /// If a file includes what was not given, or has a rule that does not compile.
    pub fn of_texts(texts: &BTreeMap<String, String>, limits: Limits) -> Result<Self, Error> {
        let names = || texts.keys().cloned().collect::<Vec<_>>().join(", ");
        Self::compiled(files::given(texts)?, limits, || Error::Nothing(PathBuf::from(names())))
    }

    fn compiled(files: files::Files, limits: Limits, nothing: impl Fn() -> Error) -> Result<Self, Error> {
        let mut compiler = Compiler::new();
        // The strings of each rule are counted.
        compiler.set_params(CompilerParams::default().compute_statistics(true));
        for name in ["filename", "filepath", "extension"] {
            compiler.define_symbol(name, "");
        }
        let texts = files.texts.clone();
        compiler.set_include_callback(move |name, _, _| {
            texts.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
        });
        let mut strings = 0;
        for name in &files.roots {
            let Some(text) = files.texts.get(name) else { continue };
            let status = compiler.add_rules_str_in_namespace(text, name).map_err(|error| {
                let file =
                    error.path.as_ref().map_or_else(|| name.clone(), |path| path.display().to_string());
                let told = error.to_string();
                let place =
                    told.strip_prefix("mem:").map_or_else(|| told.clone(), |rest| format!("{file}:{rest}"));
                Error::Compile(with_modules(place, &compiler_modules()))
            })?;
            strings += status.statistics().map(|rule| rule.strings.len()).sum::<usize>();
        }
        let scanner = compiler.finalize();
        if scanner.rules().next().is_none() {
            return Err(nothing());
        }
        let of_string = (MATCHES_MAX / strings.max(1)).clamp(OF_STRING_MIN, OF_STRING_MAX);
        Ok(Self { scanner, limits, of_string, spent_nanos: AtomicU64::new(0) })
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.scanner.rules().count()
    }

    /// Tells whether there is no rule; there always is one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the rules to some bytes. `place` is where they stand, `name` how their container calls them: rules may ask for both
    /// (`filepath`, `filename`, `extension`).
    pub fn look(&self, place: &str, name: &str, bytes: &[u8]) -> Looked {
        let spent = Duration::from_nanos(self.spent_nanos.load(Ordering::Relaxed));
        let left = self.limits.total.saturating_sub(spent);
        if left.is_zero() {
            let detail = format!("the {} s for all members were over", self.limits.total.as_secs_f32());
            return Looked { open: Some(Open::Time(detail)), ..Looked::default() };
        }
        let begin = Instant::now();
        let looked = self.look_for(left.min(self.limits.member), place, name, bytes);
        let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spent_nanos.fetch_add(nanos, Ordering::Relaxed);
        looked
    }

    fn look_for(&self, time: Duration, place: &str, name: &str, bytes: &[u8]) -> Looked {
        let of_string = self.of_string.min(STEPS_MAX / bytes.len().max(1)).max(OF_STRING_MIN);
        let mut scanner = self.scanner.clone();
        let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let extension = base.rfind('.').and_then(|at| base.get(at..)).unwrap_or_default();
        for (symbol, value) in [("filepath", place), ("filename", base), ("extension", extension)] {
            let value = ExternalValue::Bytes(value.as_bytes().to_vec());
            // They were defined before the rules were compiled, as texts.
            scanner.define_symbol(symbol, value).ok();
        }
        scanner.set_scan_params(
            ScanParams::default()
                .compute_full_matches(true)
                .include_not_matched_rules(true)
                .match_max_length(DATA_MAX_BYTES)
                .string_max_nb_matches(u32::try_from(of_string).unwrap_or(u32::MAX))
                .timeout_duration(Some(time))
                .callback_events(
                    CallbackEvents::RULE_MATCH
                        | CallbackEvents::RULE_NO_MATCH
                        | CallbackEvents::STRING_REACHED_MATCH_LIMIT,
                ),
        );
        let (mut matched, mut limited) = (BTreeSet::new(), BTreeSet::new());
        let (mut matches, mut more) = (Vec::new(), 0_usize);
        let (begin, mut is_over) = (Instant::now(), false);
        let result = unless_it_fails(|| {
            scanner.scan_mem_with_callback(bytes, |event| {
                // There is an event for each rule. Few steps of a rule may be long ones: a function of a module looks at the whole member.
                is_over = begin.elapsed() >= time;
                if is_over {
                    return ScanCallbackResult::Abort;
                }
                match event {
                    ScanEvent::RuleMatch(rule) => {
                        matched.insert((rule.namespace.to_owned(), rule.name.to_owned()));
                        if matches.len() < RULES_MAX {
                            matches.push(self.told(&rule));
                        } else {
                            more += 1;
                        }
                    }
                    ScanEvent::RuleNoMatch(rule)
                        if rule.matches.iter().any(|string| string.matches.len() >= of_string) =>
                    {
                        limited.insert((rule.namespace.to_owned(), rule.name.to_owned()));
                    }
                    ScanEvent::StringReachedMatchLimit(string) => {
                        limited.insert((string.rule_namespace.to_owned(), string.rule_name.to_owned()));
                    }
                    _ => {}
                }
                ScanCallbackResult::Continue
            })
        });
        let result = match result {
            Ok(result) => result,
            Err(why) => return Looked { matches, open: Some(Open::Failed(why)) },
        };
        let undecided: Vec<&str> =
            limited.difference(&matched).map(|(_, rule)| rule.as_str()).take(STRINGS_MAX).collect();
        let open = match result {
            Err(error) if is_over || matches!(error, ScanError::Timeout) => {
                Some(Open::Time(format!("the {} s for one member were over", time.as_secs_f32())))
            }
            Err(error) => Some(Open::Time(error.to_string())),
            Ok(()) if !undecided.is_empty() => Some(Open::Matches(format!(
                "a string of {} has more than the {of_string} matches that are looked at",
                undecided.join(", ")
            ))),
            Ok(()) if more > 0 => {
                Some(Open::Matches(format!("{more} more rules match than the {RULES_MAX} told")))
            }
            Ok(()) => None,
        };
        Looked { matches, open }
    }

    /// Keeps what is told of a match.
    fn told(&self, rule: &EvaluatedRule<'_>) -> RuleMatch {
        let text = |symbol| clean(self.scanner.get_string_symbol(symbol).as_bytes());
        let mut meta = BTreeMap::new();
        for item in rule.metadatas.iter().take(META_MAX) {
            let value = match item.value {
                MetadataValue::Bytes(symbol) => clean(self.scanner.get_bytes_symbol(symbol)),
                MetadataValue::Integer(value) => value.to_string(),
                MetadataValue::Boolean(value) => value.to_string(),
            };
            meta.entry(text(item.name)).or_insert(value);
        }
        RuleMatch {
            rule: rule.name.to_owned(),
            file: rule.namespace.to_owned(),
            tags: rule.tags.iter().take(META_MAX).map(|tag| text(*tag)).collect(),
            meta,
            strings: rule.matches.iter().take(STRINGS_MAX).filter_map(string).collect(),
        }
    }
}

fn string(found: &StringMatches<'_>) -> Option<MatchedString> {
    let first = found.matches.first()?;
    Some(MatchedString {
        name: format!("${}", found.name),
        count: found.matches.len() as u64,
        offsets: found
            .matches
            .iter()
            .take(OFFSETS_MAX)
            .map(|each| (each.base + each.offset) as u64)
            .collect(),
        length: first.length as u64,
        text: first.data.escape_ascii().to_string(),
    })
}

/// Texts of rules are the user's, but may be long.
fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(TEXT_MAX_CHARACTERS).collect()
}

fn compiler_modules() -> Vec<String> {
    let mut names: Vec<String> = Compiler::new().available_modules().map(str::to_owned).collect();
    names.sort();
    names
}

/// Says which modules there are, if one is not.
fn with_modules(told: String, modules: &[String]) -> String {
    if told.contains("unknown import") {
        format!("{told}: the modules that are read are {}", modules.join(", "))
    } else {
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_open_and_says_why() {
        assert_eq!(unless_it_fails(|| 7), Ok(7));
        let why = unless_it_fails(|| -> u8 { panic!("an offset of {}", 3) });
        assert_eq!(why.unwrap_err(), "the rules' engine failed: an offset of 3");
        assert_eq!(
            unless_it_fails(|| -> u8 { panic!("plain") }).unwrap_err(),
            "the rules' engine failed: plain"
        );
    }
}
