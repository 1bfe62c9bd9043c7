//! Java: `pom.xml` and Gradle's lock files. Archives are read elsewhere.

use std::collections::HashMap;

use evidence::bom::State;

use super::found::{Found, Stated};
use super::{Cataloger, Input, Pattern};
use crate::unpack::xml::{Event, Reader};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger { name: "maven-pom", wants: &[Pattern::Name("pom.xml")], read: pom },
    Cataloger {
        name: "gradle-lock",
        wants: &[Pattern::Name("gradle.lockfile"), Pattern::Name("buildscript-gradle.lockfile")],
        read: gradle,
    },
];

/// Makes a package of its coordinates.
pub(super) fn package(group: &str, name: &str, version: &str, state: State) -> Stated {
    Stated::new("maven", name, version, state).in_space(group)
}

/// Elements deeper than this have no meaning in a project's description.
const DEPTH_MAX: usize = 64;
/// How often a property may stand for another one.
const PROPERTY_ROUNDS: usize = 8;

#[derive(Default)]
struct Coordinates {
    group: String,
    name: String,
    version: String,
    scope: String,
    optional: bool,
    classifier: String,
}

/// The texts of a project's description that name packages.
#[derive(Default)]
struct Project {
    own: Coordinates,
    parent: Coordinates,
    properties: HashMap<String, String>,
    dependencies: Vec<Coordinates>,
    managed: Vec<Coordinates>,
    plugins: Vec<Coordinates>,
}

/// Takes comments out: in them stands what looks like elements.
fn without_comments(document: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(document.len()), document);
    while let Some(at) = memchr::memmem::find(rest, b"<!--") {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 4..];
        rest = memchr::memmem::find(after, b"-->").map_or(&b""[..], |end| &after[end + 3..]);
    }
    out.extend_from_slice(rest);
    out
}

fn pom(input: &Input, found: &mut Found) {
    let document = without_comments(input.bytes);
    let mut project = Project::default();
    let mut path: Vec<&[u8]> = Vec::new();
    for event in Reader::new(&document) {
        match event {
            Event::Open(name, _) => {
                if path.len() >= DEPTH_MAX {
                    return found.problem("malformed-pom", "elements are nested too deep");
                }
                path.push(name);
                match path.as_slice() {
                    [b"project", b"dependencies", b"dependency"] => {
                        project.dependencies.push(Coordinates::default());
                    }
                    [b"project", b"dependencyManagement", b"dependencies", b"dependency"] => {
                        project.managed.push(Coordinates::default());
                    }
                    [b"project", b"build", b"plugins", b"plugin"] => {
                        project.plugins.push(Coordinates {
                            group: "org.apache.maven.plugins".into(),
                            ..Coordinates::default()
                        });
                    }
                    _ => {}
                }
            }
            Event::Close(_) => {
                path.pop();
            }
            Event::Text(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                let (target, field) = match path.as_slice() {
                    [b"project", b"properties", name] => {
                        project.properties.insert(String::from_utf8_lossy(name).into_owned(), text);
                        continue;
                    }
                    [b"project", b"parent", field] => (Some(&mut project.parent), *field),
                    [b"project", b"dependencies", b"dependency", field] => {
                        (project.dependencies.last_mut(), *field)
                    }
                    [b"project", b"dependencyManagement", b"dependencies", b"dependency", field] => {
                        (project.managed.last_mut(), *field)
                    }
                    [b"project", b"build", b"plugins", b"plugin", field] => {
                        (project.plugins.last_mut(), *field)
                    }
                    [b"project", field] => (Some(&mut project.own), *field),
                    _ => continue,
                };
                let Some(target) = target else { continue };
                match field {
                    b"groupId" => target.group = text,
                    b"artifactId" => target.name = text,
                    b"version" => target.version = text,
                    b"scope" => target.scope = text,
                    b"optional" => target.optional = text == "true",
                    b"classifier" => target.classifier = text,
                    _ => {}
                }
            }
        }
    }
    project.state(found);
}

impl Project {
    fn state(&self, found: &mut Found) {
        if self.own.name.is_empty() {
            return found.problem("malformed-pom", "a project without an artifact");
        }
        for (list, what) in [(&self.dependencies, ""), (&self.plugins, "build-plugin")] {
            for dependency in list {
                let managed = self
                    .managed
                    .iter()
                    .find(|managed| managed.group == dependency.group && managed.name == dependency.name);
                let version = match (dependency.version.as_str(), managed) {
                    ("", Some(managed)) => managed.version.as_str(),
                    (version, _) => version,
                };
                let version = self.filled(version);
                // What only a parent or the tool itself knows stays open.
                let known =
                    !version.is_empty() && !version.contains("${") && !version.starts_with(['[', '(']);
                let stated = package(
                    &self.filled(&dependency.group),
                    &self.filled(&dependency.name),
                    if known { &version } else { "" },
                    State::Declared,
                )
                .qualified("classifier", self.filled(&dependency.classifier))
                .with("wanted", if known { "" } else { version.as_str() })
                .with("scope", if what.is_empty() { dependency.scope.as_str() } else { what })
                .with("optional", if dependency.optional { "true" } else { "" });
                let place = found.take(stated);
                found.direct.extend(place);
            }
        }
    }

    /// Puts the values of properties in, a bounded number of times.
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..PROPERTY_ROUNDS {
            let Some((before, rest)) = text.split_once("${") else { break };
            let Some((name, after)) = rest.split_once('}') else { break };
            let either =
                |own: &str, parent: &str| if own.is_empty() { parent.to_owned() } else { own.to_owned() };
            let value = match name {
                "project.version" | "pom.version" | "version" => {
                    Some(either(&self.own.version, &self.parent.version))
                }
                "project.groupId" | "pom.groupId" | "groupId" => {
                    Some(either(&self.own.group, &self.parent.group))
                }
                "project.artifactId" => Some(self.own.name.clone()),
                "project.parent.version" => Some(self.parent.version.clone()),
                "project.parent.groupId" => Some(self.parent.group.clone()),
                name => self.properties.get(name).cloned(),
            };
            match value {
                Some(value) if value.len() < 1000 && text.len() < 10_000 => {
                    text = format!("{before}{value}{after}");
                }
                _ => break,
            }
        }
        text
    }
}

/// `group:name:version=configurations`.
fn gradle(input: &Input, found: &mut Found) {
    for line in input.text().lines().filter(|line| !line.starts_with('#')) {
        let Some((coordinates, configurations)) = line.split_once('=') else { continue };
        let parts: Vec<&str> = coordinates.split(':').collect();
        if let [group, name, version] = parts.as_slice() {
            found.take(
                package(group, name, version, State::Locked).with("configurations", configurations.trim()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, scan};

    #[test]
    fn a_project_is_read_with_properties_and_management() {
        let pom = br#"<?xml version="1.0"?><project xmlns="http://maven.apache.org/POM/4.0.0">
          <parent><groupId>org.test</groupId><artifactId>parent</artifactId><version>7</version></parent>
          <artifactId>app</artifactId>
          <properties><v>${w}</v><w>2.17.1</w><loop>${loop}</loop></properties>
          <dependencyManagement><dependencies><dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.13.2</version></dependency></dependencies></dependencyManagement>
          <dependencies>
            <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>${v}</version></dependency>
            <dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope><exclusions><exclusion><artifactId>x</artifactId></exclusion></exclusions></dependency>
            <dependency><groupId>${project.groupId}</groupId><artifactId>lib</artifactId><version>${project.version}</version></dependency>
            <dependency><groupId>a</groupId><artifactId>b</artifactId><version>${loop}</version></dependency>
            <!-- <dependency><groupId>no</groupId><artifactId>no</artifactId><version>1</version></dependency> -->
          </dependencies></project>"#;
        let catalog = scan(&[("pom.xml", pom)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:maven/a/b",
                "pkg:maven/junit/junit@4.13.2",
                "pkg:maven/org.apache.logging.log4j/log4j-core@2.17.1",
                "pkg:maven/org.test/lib@7",
            ]
        );
        assert_eq!(scan(&[("pom.xml", b"<project>")]).problems[0].kind, "malformed-pom");
    }

    #[test]
    fn gradle_locks_are_read() {
        let text = b"# This is a Gradle generated file\ncom.google.guava:guava:32.1.2-jre=compileClasspath,runtimeClasspath\nempty=annotationProcessor\n";
        assert_eq!(
            purls(&scan(&[("gradle.lockfile", text)])),
            ["pkg:maven/com.google.guava/guava@32.1.2-jre"]
        );
    }
}
