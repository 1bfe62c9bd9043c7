//! Reading YAML from people we do not know: bounded in size, depth and aliases, unknown and doubled keys refused.

use serde::de::DeserializeOwned;
use serde_saphyr::{Budget, Options};

/// The largest rule file, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 256 * 1024;
/// How deep a rule file may be nested.
const DEPTH_MAX: usize = 32;
/// How many values a rule file may have.
const NODES_MAX: usize = 20_000;

/// Reads one document.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    let mut budget = Budget::default();
    budget.max_depth = DEPTH_MAX;
    budget.max_nodes = NODES_MAX;
    budget.max_documents = 1;
    // No rule needs them, and they are how a small file becomes a large one.
    budget.max_aliases = 0;
    budget.max_anchors = 0;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.with_snippet = false;
    // `y` and `no` are names of programs, not truth values.
    options.strict_booleans = true;
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| error.to_string().replace('\n', " "))
}
