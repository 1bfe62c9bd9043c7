//! CVSS against the field's vectors.

use std::path::Path;

#[test]
fn base_scores_are_those_of_the_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/cvss/tests");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no CVSS vectors beside the project (`shared/vectors/cvss`)");
        return;
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("vectors_") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((vector, scores)) = line.split_once(" - ") else { continue };
            // Base, temporal, environmental; the score of a vector is that of the last group that it has.
            let scores: Vec<f64> = scores
                .trim_matches(['(', ')', ' '])
                .split(',')
                .filter_map(|score| score.trim().parse().ok())
                .collect();
            let Some(found) = feeds::osv::score(vector.trim()) else {
                wrong.push(format!("{name}: {vector} cannot be read"));
                continue;
            };
            count += 1;
            let found = f64::from(found.tenths) / 10.0;
            if !scores.iter().any(|score| (score - found).abs() < 0.05) {
                wrong.push(format!("{name}: {vector}: {found}, not {scores:?}"));
            }
        }
    }
    assert!(count > 7_000, "only {count} vectors");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
