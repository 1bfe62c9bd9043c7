//! One sentence for each claim that was verified: who, from what source, where logged, seen by whom, repeated by whom.

use crate::report::FileReport;

impl FileReport {
    /// Says what is known of the file, one sentence a claim. Empty if nothing is.
    pub fn sentences(&self, log_origin: &str) -> Vec<String> {
        if !self.reasons.is_empty() {
            return Vec::new();
        }
        if let (Some(manifest), None) = (&self.manifest, &self.release) {
            return vec![format!(
                "It has the bytes that the released manifest `{}` lists.",
                manifest.display()
            )];
        }
        let Some(release) = &self.release else { return Vec::new() };
        let summary = release.summary();
        let policy = summary.policy.sha256().map_or_else(|| "an unnamed".to_owned(), |digest| digest.short());
        let mut sentences = vec![format!(
            "Key {} released it on {}, after the gate had passed it under policy {policy}.",
            release.verified().key().short(),
            summary.time_verified
        )];
        if let Some(certified) = release.verified().certified() {
            sentences.push(format!(
                "Its certificate says `{}`, for which {} vouches; a timestamp shows the signature at {}.",
                certified.identity, certified.issuer, certified.time
            ));
        }
        sentences.push(match &self.build {
            Some(build) => {
                let source = build
                    .source
                    .as_ref()
                    .map_or_else(|| "no commit is named".to_owned(), |source| format!("source {source}"));
                format!(
                    "Builder {} built it{} on {} from {} listed inputs; {source}.",
                    build.builder,
                    if build.product.is_empty() { String::new() } else { format!(" as {}", build.product) },
                    build.finished,
                    build.inputs
                )
            }
            None => {
                "The build's provenance does not lie beside it; the release names it by digest.".to_owned()
            }
        });
        let witnesses = release.verified().witnesses();
        let seen = match witnesses {
            [] => "no witness has cosigned that".to_owned(),
            [one] => format!("1 witness has cosigned that: {one}"),
            more => format!("{} witnesses have cosigned that: {}", more.len(), more.join(", ")),
        };
        sentences.push(format!(
            "It stands at entry {} of the log {log_origin}; {seen}.",
            release.verified().log_index()
        ));
        sentences.push(match release.reproduced() {
            Some((agreed, asked)) => {
                format!("{agreed} of {asked} independent builders came to the same bytes.")
            }
            None => "No independent builder is said to have come to the same bytes.".to_owned(),
        });
        sentences
    }
}
