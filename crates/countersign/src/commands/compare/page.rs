//! The comparison as one page that needs nothing else: findings, the tree of differences, a search.

mod sight;

use std::fmt::{self, Write as _};

use engine::Compared;

use super::{area, sign, word};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
code,td.path{font-family:ui-monospace,monospace;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #8884}\
input{width:100%;padding:.5rem;font:inherit;margin:.5rem 0}.critical,.high,.DRIFT{color:#c0182b;font-weight:600}\
pre{font:12px/1.4 ui-monospace,monospace;white-space:pre-wrap;margin:0}.medium{color:#a65b00}details{border-bottom:1px solid #8884;padding:.4rem 0}ul{margin:.2rem 0}\
:root{color-scheme:light dark}";

/// Shows only rows that contain what is typed.
const SCRIPT: &str = "const field=document.getElementById('search');field.addEventListener('input',()=>{\
const wanted=field.value.toLowerCase();for(const row of document.querySelectorAll('[data-text]'))\
row.hidden=!row.dataset.text.toLowerCase().includes(wanted)});";

/// Writes the page.
pub(super) fn page(title: &str, compared: &Compared) -> Result<String, fmt::Error> {
    let comparison = &compared.comparison;
    let (title, verdict) = (escaped(title), comparison.verdict.word());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{verdict}: {title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{verdict}</h1>\n<p><code>{title}</code></p>\n\
         <p>{} findings, {} differences, {} unread.</p>\n<input id=\"search\" type=\"search\" placeholder=\"Search\" aria-label=\"Search\">\n",
        comparison.findings.len(),
        comparison.differences.len(),
        comparison.problems.len()
    );
    if !comparison.findings.is_empty() {
        page += "<h2>Findings</h2>\n";
    }
    for finding in &comparison.findings {
        let path = finding.subject.path.as_ref().map(|path| escaped(&path.to_string())).unwrap_or_default();
        let severity = finding.severity.word();
        let open = if matches!(severity, "critical" | "high") { " open" } else { "" };
        writeln!(
            page,
            "<details{open} data-text=\"{path} {code}\"><summary><span class=\"{severity}\">{severity}</span> {} (<code>{code}</code>)<br><code>{path}</code></summary><ul>",
            escaped(&finding.title),
            code = escaped(&finding.code),
        )?;
        for reason in &finding.because {
            writeln!(page, "<li>{}</li>", escaped(&reason.to_string()))?;
        }
        writeln!(page, "</ul><p>{}</p></details>", escaped(&finding.hint))?;
    }
    if !comparison.problems.is_empty() {
        page += "<h2>Not read</h2>\n<table>\n";
        for problem in &comparison.problems {
            let path = escaped(&problem.path.to_string());
            writeln!(
                page,
                "<tr data-text=\"{path}\"><td class=\"path\">{path}</td><td>{}</td><td>{}</td></tr>",
                escaped(&problem.kind),
                escaped(&problem.detail)
            )?;
        }
        page += "</table>\n";
    }
    page += "<h2>Differences</h2>\n<table>\n<tr><th></th><th>Status</th><th>What</th><th>Where</th><th>Old</th><th>New</th></tr>\n";
    for difference in &comparison.differences {
        let (path, status) = (escaped(&difference.path), word(difference.status));
        // The depth of a member is how many containers it lies in.
        let depth = difference.path.matches('!').count().min(20);
        let mut reasons: String =
            difference.explained_by.iter().map(|why| format!("<br>from {}", escaped(why))).collect();
        for cause in comparison.causes.get(&difference.path).into_iter().flatten() {
            write!(
                reasons,
                "<br>cause: <b>{}</b> {}<br>fix: {}",
                cause.kind,
                escaped(&cause.evidence),
                escaped(cause.fix)
            )?;
        }
        let value = |value: &Option<String>| value.as_deref().map(escaped).unwrap_or_default();
        writeln!(
            page,
            "<tr data-text=\"{path} {status}\"><td>{}</td><td class=\"{status}\">{status}</td><td>{}</td><td class=\"path\" style=\"padding-left:{depth}rem\">{path}{reasons}</td><td class=\"path\">{}</td><td class=\"path\">{}</td></tr>",
            sign(difference.change),
            area(difference.area),
            value(&difference.old),
            value(&difference.new)
        )?;
    }
    page += "</table>\n";
    if !compared.contrasts.is_empty() {
        page += "<h2>Bytes</h2>\n";
    }
    for (path, contrast) in &compared.contrasts {
        page += &sight::sight(&path.to_string(), contrast)?;
    }
    write!(page, "<script>{SCRIPT}</script>\n</body></html>\n")?;
    Ok(page)
}

/// Text from outside is text: nothing in it is markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_is_no_markup() {
        assert_eq!(escaped("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }
}
