//! All statements, found by the packages that they are about: a lock file asks thousands of times.

use std::collections::{BTreeSet, HashMap};

use evidence::Purl;

use super::{Statement, covers, in_range};
use crate::package::Package;

/// Statements by what they are about.
#[derive(Default)]
pub struct Book {
    statements: Vec<Said>,
    by_purl: HashMap<String, Vec<u32>>,
    by_package: HashMap<Vec<u8>, Vec<u32>>,
    by_vulnerability: HashMap<String, Vec<u32>>,
}

struct Said {
    statement: Statement,
    products: Vec<Purl>,
    components: Vec<Purl>,
}

/// A statement about something that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// Whether it names the package itself, not only the product that has it.
    pub itself: bool,
    /// Whether the version is one of those that it is about; if not, nobody can tell.
    pub certain: bool,
}

impl Book {
    /// Takes the statements.
    pub fn new(statements: Vec<Statement>) -> Self {
        let mut book = Self::default();
        for statement in statements {
            let read =
                |list: &[String]| list.iter().filter_map(|text| Purl::parse_lenient(text).ok()).collect();
            let (products, components): (Vec<Purl>, Vec<Purl>) =
                (read(&statement.products), read(&statement.components));
            let Ok(number) = u32::try_from(book.statements.len()) else { break };
            let names: BTreeSet<String> = products.iter().chain(&components).map(Purl::identity).collect();
            for name in names {
                book.by_purl.entry(name).or_default().push(number);
            }
            if components.is_empty() {
                let keys: BTreeSet<Vec<u8>> =
                    products.iter().filter_map(Package::of_purl).map(|package| package.key()).collect();
                for key in keys {
                    book.by_package.entry(key).or_default().push(number);
                }
            }
            for id in &statement.vulnerabilities {
                book.by_vulnerability.entry(id.clone()).or_default().push(number);
            }
            book.statements.push(Said { statement, products, components });
        }
        book
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    fn said(&self, list: Option<&Vec<u32>>) -> impl Iterator<Item = &Said> {
        list.into_iter().flatten().filter_map(|number| self.statements.get(*number as usize))
    }

    /// Finds what is said about a package, in a product.
    pub fn about(&self, package: &Purl, product: Option<&Purl>) -> Vec<About<'_>> {
        if self.is_empty() {
            return Vec::new();
        }
        let own = self.by_purl.get(&package.identity());
        let mut found: Vec<About<'_>> =
            self.said(own).filter_map(|said| said.about(package, product, true)).collect();
        if let Some(product) = product {
            let whole = self.said(self.by_purl.get(&product.identity()));
            // Of the product as a whole; where a part is named, it was found by its own name.
            found.extend(whole.filter_map(|said| said.about(product, None, false)));
        }
        found
    }

    /// Finds what is said about a package, whatever it is part of. What is said of parts of products is left out: nobody knows
    /// the product here.
    pub fn of_package(&self, package: &Package) -> Vec<About<'_>> {
        let said = self.said(self.by_package.get(&package.key()));
        said.filter_map(|said| {
            let fits = said.products.iter().filter_map(|theirs| {
                let same = Package::of_purl(theirs)?.key() == package.key();
                let version = theirs.version().is_none_or(|version| version == package.version);
                (same && version).then(|| in_range(theirs, Some(&package.version)))
            });
            About::of(&said.statement, fits, true)
        })
        .collect()
    }

    /// Finds what is said about a vulnerability.
    pub fn naming(&self, vulnerability: &str) -> impl Iterator<Item = &Statement> {
        self.said(self.by_vulnerability.get(vulnerability)).map(|said| &said.statement)
    }
}

impl<'a> About<'a> {
    fn of(statement: &'a Statement, fits: impl Iterator<Item = Option<bool>>, itself: bool) -> Option<Self> {
        let mut best = None;
        for fit in fits {
            match fit {
                Some(true) => return Some(Self { statement, itself, certain: true }),
                None => best = Some(Self { statement, itself, certain: false }),
                Some(false) => {}
            }
        }
        best
    }
}

impl Said {
    fn about(&self, package: &Purl, product: Option<&Purl>, itself: bool) -> Option<About<'_>> {
        if self.components.is_empty() {
            return About::of(&self.statement, self.products.iter().map(|one| covers(one, package)), itself);
        }
        let product = product?;
        let inside = self.products.iter().any(|one| covers(one, product) == Some(true));
        let fits = self.components.iter().map(|one| covers(one, package));
        if inside { About::of(&self.statement, fits, itself) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn statements_are_found_by_what_they_are_about() {
        let statement = |products: &[&str], components: &[&str]| Statement {
            vulnerabilities: vec!["CVE-1".into()],
            products: products.iter().map(|text| (*text).to_owned()).collect(),
            components: components.iter().map(|text| (*text).to_owned()).collect(),
            ..Statement::new(Status::NotAffected, "f")
        };
        let book = Book::new(vec![
            statement(&["pkg:npm/a@1", "pkg:npm/b"], &[]),
            statement(&["pkg:oci/app"], &["pkg:npm/c"]),
            statement(&["pkg:oci/app"], &[]),
            statement(&["pkg:npm/d?vers=vers:npm%2F%3C2"], &[]),
            statement(&["pkg:npm/e?vers=prose"], &[]),
        ]);
        let purl = |text: &str| Purl::parse_lenient(text).unwrap();
        let app = purl("pkg:oci/app@sha256:0");
        let count = |text: &str, product: Option<&Purl>| book.about(&purl(text), product).len();
        assert_eq!(
            (count("pkg:npm/a@1", None), count("pkg:npm/a@2", None), count("pkg:npm/b@9", None)),
            (1, 0, 1)
        );
        assert_eq!((count("pkg:npm/c@1", None), count("pkg:npm/c@1", Some(&app))), (0, 2));
        assert_eq!((count("pkg:npm/d@1.0.0", None), count("pkg:npm/d@2.0.0", None)), (1, 0));
        let unsure = book.about(&purl("pkg:npm/e@1"), None);
        assert!(!unsure[0].certain && unsure[0].itself);
        assert!(!book.about(&purl("pkg:npm/z@1"), Some(&app))[0].itself);
        let package = |text: &str| book.of_package(&Package::of_purl(&purl(text)).unwrap()).len();
        assert_eq!((package("pkg:npm/a@1"), package("pkg:npm/a@2"), package("pkg:npm/c@1")), (1, 0, 0));
        assert_eq!((package("pkg:npm/d@1.0.0"), package("pkg:npm/d@2.0.0")), (1, 0));
        assert_eq!(book.naming("CVE-1").count(), 5);
    }
}
