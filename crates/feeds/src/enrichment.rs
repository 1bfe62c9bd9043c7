//! What is known of a CVE besides the advisory: whether it is exploited (KEV, EUVD), how likely that is (EPSS), and what CISA
//! decided about it (SSVC). Columns of fixed width over sorted numbers, so that a new day's scores are one small file.

use std::collections::BTreeMap;

use evidence::Timestamp;
use serde::Serialize;
use serde_json::Value;

const MAGIC: &[u8; 8] = b"CADE0001";
const ROW_BYTES: usize = 24;

/// What is known of one CVE.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Facts {
    /// Listed as exploited, and since which day (days since 1970).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploited_since: Option<u32>,
    /// Used by ransomware.
    pub ransomware: bool,
    /// EPSS: how likely it is exploited within 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss: Option<f32>,
    /// EPSS: the part of all CVEs that are less likely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f32>,
    /// SSVC: exploitation is active.
    pub active: bool,
    /// SSVC: an attack can be automated.
    pub automatable: bool,
}

/// The facts of many CVEs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Enrichment {
    rows: BTreeMap<u64, Facts>,
}

/// Which document it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// CISA's or EUVD's list of exploited vulnerabilities.
    Exploited,
    /// EPSS scores.
    Epss,
    /// SSVC decisions.
    Ssvc,
}

/// `CVE-2021-44228` as a number that sorts.
pub fn cve_number(id: &str) -> Option<u64> {
    let (year, number) = id.strip_prefix("CVE-")?.split_once('-')?;
    let digits =
        |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year) || !digits(number) {
        return None;
    }
    let year: u64 = year.parse().ok().filter(|year| *year < 10_000)?;
    Some(year << 44 | number.parse::<u64>().ok()?)
}

fn day(text: &str) -> Option<u32> {
    let moment: Timestamp = text.parse().ok()?;
    u32::try_from(moment.unix() / 86_400).ok()
}

impl Enrichment {
    /// Returns how many CVEs something is known of.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns how many CVEs are known to be exploited.
    pub fn exploited(&self) -> usize {
        self.rows.values().filter(|facts| facts.exploited_since.is_some()).count()
    }

    /// Takes the facts of another, which is newer.
    pub fn merge(&mut self, other: Self) {
        for (number, new) in other.rows {
            let row = self.rows.entry(number).or_default();
            row.exploited_since = new.exploited_since.or(row.exploited_since);
            row.ransomware |= new.ransomware;
            row.epss = new.epss.or(row.epss);
            row.percentile = new.percentile.or(row.percentile);
            row.active |= new.active;
            row.automatable |= new.automatable;
        }
    }

    /// Reads CISA's KEV catalog or EUVD's list; none if it is neither.
    pub fn read_exploited(&mut self, document: &Value) -> Option<usize> {
        let mut count = 0;
        if let Some(list) = document.get("vulnerabilities").and_then(Value::as_array) {
            document.get("catalogVersion")?;
            for entry in list {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                let Some(number) = text("cveID").and_then(cve_number) else { continue };
                let row = self.rows.entry(number).or_default();
                row.exploited_since = text("dateAdded").and_then(day).or(Some(0));
                row.ransomware |= text("knownRansomwareCampaignUse") == Some("Known");
                count += 1;
            }
            return Some(count);
        }
        for (id, entry) in document.get("entries")?.as_object()? {
            let lists = ["kev", "euvd"].map(|list| entry.get(list));
            let Some(number) = cve_number(id).filter(|_| lists.iter().any(Option::is_some)) else { continue };
            let row = self.rows.entry(number).or_default();
            let added = |list: &Value| list.get("added").and_then(Value::as_str).and_then(day);
            row.exploited_since = lists.iter().flatten().filter_map(|list| added(list)).min().or(Some(0));
            row.ransomware |=
                lists.iter().flatten().any(|list| list.get("ransomware") == Some(&Value::Bool(true)));
            count += 1;
        }
        Some(count)
    }

    /// Reads a table: the header says what it is. The numbers of lines that cannot be read go to `wrong`.
    pub fn read_csv(&mut self, text: &str, wrong: &mut dyn FnMut(usize, String)) -> Option<(Kind, usize)> {
        let mut lines =
            text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty());
        let header: Vec<String> = lines.next()?.1.split(',').map(str::to_ascii_lowercase).collect();
        let place = |names: &[&str]| header.iter().position(|column| names.contains(&column.as_str()));
        let cve = place(&["cve", "cve_id", "cveid"])?;
        let (epss, percentile) = (place(&["epss"]), place(&["percentile", "epss percentile"]));
        let (exploitation, automatable) = (place(&["exploitation"]), place(&["automatable"]));
        let kind = if exploitation.is_some() { Kind::Ssvc } else { epss.map(|_| Kind::Epss)? };
        let mut count = 0;
        for (line, text) in lines {
            let fields: Vec<&str> = text.split(',').collect();
            let field = |place: Option<usize>| place.and_then(|place| fields.get(place).copied());
            let Some(number) = field(Some(cve)).and_then(cve_number) else {
                wrong(line + 1, "no CVE id".to_owned());
                continue;
            };
            let score = |place| {
                let value: f32 = field(place)?.parse().ok()?;
                (0.0..=1.0).contains(&value).then_some(value)
            };
            if kind == Kind::Epss && score(epss).is_none() {
                wrong(line + 1, "no score between 0 and 1".to_owned());
                continue;
            }
            let row = self.rows.entry(number).or_default();
            row.epss = score(epss).or(row.epss);
            row.percentile = score(percentile).or(row.percentile);
            row.active |= field(exploitation) == Some("active");
            row.automatable |= field(automatable) == Some("yes");
            count += 1;
        }
        Some((kind, count))
    }

    /// Writes the columns.
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (number, facts) in &self.rows {
            out.extend(number.to_le_bytes());
            out.extend(facts.epss.unwrap_or(-1.0).to_le_bytes());
            out.extend(facts.percentile.unwrap_or(-1.0).to_le_bytes());
            out.extend(facts.exploited_since.unwrap_or(0).to_le_bytes());
            let flag = |set: bool, bit: u8| if set { bit } else { 0 };
            out.extend([
                flag(facts.exploited_since.is_some(), 1)
                    | flag(facts.ransomware, 2)
                    | flag(facts.active, 4)
                    | flag(facts.automatable, 8),
                0,
                0,
                0,
            ]);
        }
        out
    }

    /// Reads all columns.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let columns = Columns::open(bytes)?;
        let rows =
            columns.rows.chunks_exact(ROW_BYTES).filter_map(|row| Some((number_of(row)?, facts_of(row)?)));
        Some(Self { rows: rows.collect() })
    }
}

fn number_of(row: &[u8]) -> Option<u64> {
    row.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn facts_of(row: &[u8]) -> Option<Facts> {
    let word = |at: usize| row.get(at..)?.first_chunk::<4>().copied();
    let score = |at: usize| word(at).map(f32::from_le_bytes).filter(|score| *score >= 0.0);
    let flags = *row.get(20)?;
    Some(Facts {
        exploited_since: if flags & 1 != 0 { Some(u32::from_le_bytes(word(16)?)) } else { None },
        ransomware: flags & 2 != 0,
        epss: score(8),
        percentile: score(12),
        active: flags & 4 != 0,
        automatable: flags & 8 != 0,
    })
}

/// The columns where they lie.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    rows: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Takes bytes that [`Enrichment::write`] wrote.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        bytes.strip_prefix(MAGIC).map(|rows| Self { rows })
    }

    /// Finds what is known of a CVE.
    pub fn find(&self, id: &str) -> Option<Facts> {
        let number = cve_number(id)?;
        let row = |place: usize| self.rows.get(place * ROW_BYTES..(place + 1) * ROW_BYTES);
        let (mut low, mut high) = (0, self.rows.len() / ROW_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            if number_of(row(middle)?)? < number {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let row = row(low)?;
        (number_of(row)? == number).then(|| facts_of(row))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_columns() {
        let mut enrichment = Enrichment::default();
        let kev = serde_json::json!({"catalogVersion": "1", "vulnerabilities": [
            {"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10", "knownRansomwareCampaignUse": "Known"}]});
        assert_eq!(enrichment.read_exploited(&kev), Some(1));
        let mut wrong = Vec::new();
        let epss = "#model\ncve,epss,percentile\nCVE-2021-44228,0.94,0.99\nx,1,1\nCVE-2020-1,2,0.1\n";
        let read = enrichment.read_csv(epss, &mut |line, _| wrong.push(line));
        assert_eq!((read, wrong), (Some((Kind::Epss, 1)), vec![4, 5]));
        let ssvc = "cve,exploitation,automatable\nCVE-2020-2,active,yes\n";
        assert_eq!(enrichment.read_csv(ssvc, &mut |_, _| {}), Some((Kind::Ssvc, 1)));
        let bytes = enrichment.write();
        let columns = Columns::open(&bytes).unwrap();
        let log4j = columns.find("CVE-2021-44228").unwrap();
        assert_eq!((log4j.exploited_since, log4j.ransomware, log4j.epss), (Some(18_971), true, Some(0.94)));
        assert!(columns.find("CVE-2020-2").unwrap().active);
        assert_eq!(columns.find("CVE-2020-3"), None);
        assert_eq!(Enrichment::read(&bytes), Some(enrichment));
    }
}
