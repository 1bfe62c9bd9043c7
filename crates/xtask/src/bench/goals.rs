//! The goals of bills of materials and inventories beside what was measured: a row for each, printed last.

/// Rows as they come.
#[derive(Default)]
pub(super) struct Goals(Vec<[String; 4]>);

impl Goals {
    /// Takes a value that must be at least so much.
    pub(super) fn at_least(&mut self, work: &str, value: f64, unit: &str, least: f64) {
        self.row(work, value, unit, format!("≥ {least}{unit}"), value >= least);
    }

    /// Takes a value that may be at most so much.
    pub(super) fn at_most(&mut self, work: &str, value: f64, unit: &str, most: f64) {
        self.row(work, value, unit, format!("≤ {most}{unit}"), value <= most);
    }

    /// Says that something could not be measured: that is no goal that was reached.
    pub(super) fn absent(&mut self, work: &str, why: &str) {
        self.0.push([work.to_owned(), "not measured".to_owned(), why.to_owned(), "no".to_owned()]);
    }

    fn row(&mut self, work: &str, value: f64, unit: &str, reach: String, reached: bool) {
        let (measured, word) = (format!("{value:.2}{unit}"), if reached { "yes" } else { "no" });
        // What has no value was not measured.
        let measured = if value.is_nan() { "not measured".to_owned() } else { measured };
        self.0.push([work.to_owned(), measured, reach, word.to_owned()]);
    }

    /// Prints them as a table in Markdown.
    pub(super) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\n| work | measured | reach | reached |\n|---|---|---|---|");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}
