//! What can be typed after `advisories`.

use clap::Subcommand;

const VERSIONS_EXAMPLES: &str = "Examples:
  countersign advisories versions npm 1.2.3-rc.1 1.2.3     prints <
  countersign advisories versions Debian:12 < pairs.tsv    one answer for each tab-separated pair";

#[derive(Subcommand)]
pub(crate) enum AdvisoriesCommand {
    /// Order versions by the rules of an ecosystem: prints `<`, `=`, `>`, or `?` for what these rules cannot read
    #[command(after_help = VERSIONS_EXAMPLES)]
    Versions {
        /// An ecosystem of OSV, a package URL's type, or a VERS scheme
        ecosystem: String,
        /// The first version; without it, one tab-separated pair a line is read from stdin
        #[arg(requires = "right")]
        left: Option<String>,
        /// The second version
        right: Option<String>,
    },
}
