//! What pipelines and deployments run that is no library: GitHub's actions, images of GitLab CI, Dockerfiles and Compose,
//! Terraform's providers, Helm's charts. What is not pinned by a digest says so.

use evidence::bom::{Algorithm, Kind, State};

use super::found::{Found, Stated, hex};
use super::lines::{base64, unquoted, yaml};
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "github-actions",
        wants: &[
            Pattern::Folder(".github/workflows"),
            Pattern::Name("action.yml"),
            Pattern::Name("action.yaml"),
        ],
        read: github,
    },
    Cataloger {
        name: "gitlab-ci",
        wants: &[Pattern::Name(".gitlab-ci.yml"), Pattern::Name(".gitlab-ci.yaml")],
        read: images,
    },
    Cataloger {
        name: "compose",
        wants: &[
            Pattern::Name("docker-compose.yml"),
            Pattern::Name("docker-compose.yaml"),
            Pattern::Name("compose.yml"),
            Pattern::Name("compose.yaml"),
        ],
        read: images,
    },
    Cataloger {
        name: "dockerfile",
        wants: &[
            Pattern::Name("Dockerfile"),
            Pattern::Name("Containerfile"),
            Pattern::Extension("dockerfile"),
        ],
        read: dockerfile,
    },
    Cataloger { name: "terraform-lock", wants: &[Pattern::Name(".terraform.lock.hcl")], read: terraform },
    Cataloger {
        name: "helm-lock",
        wants: &[Pattern::Name("Chart.lock"), Pattern::Name("requirements.lock")],
        read: helm,
    },
];

/// `uses: owner/name/path@reference`, `uses: docker://image`, `image: …`, `container: …`.
fn github(input: &Input, found: &mut Found) {
    let text = input.text();
    for line in yaml(&text) {
        match line.key {
            "uses" => action(line.value, found),
            "image" | "container" => image(line.value, found),
            _ => {}
        }
    }
}

fn action(text: &str, found: &mut Found) {
    if let Some(reference) = text.strip_prefix("docker://") {
        return image(reference, found);
    }
    let Some((place, reference)) = text.split_once('@') else { return };
    let mut parts = place.splitn(3, '/');
    let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return };
    if owner.is_empty() || owner.starts_with('.') || name.is_empty() || place.contains("${{") {
        return;
    }
    let pinned = reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    found.take(
        Stated::new("github", name, reference, State::Declared)
            .in_space(owner)
            .kind(Kind::Application)
            .with("path", parts.next().unwrap_or_default())
            .with("pinned", if pinned { "true" } else { "false" }),
    );
}

/// States an image: `registry/name:tag@sha256:digest`.
fn image(text: &str, found: &mut Found) {
    let text = text.trim();
    if text.is_empty() || text.contains(['$', '{', ' ', '<']) || text == "scratch" {
        return;
    }
    let (name, digest) = text.split_once('@').unwrap_or((text, ""));
    // A colon behind the last slash begins the tag; one before it is the registry's port.
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], &name[slash + colon + 1..]),
        None => (name, ""),
    };
    let version = if digest.is_empty() { tag } else { digest };
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("", name),
    };
    let mut stated = Stated::new("docker", rest, version, State::Declared)
        .split_name('/')
        .kind(Kind::Container)
        .qualified("repository_url", registry)
        .with("pinned", if digest.starts_with("sha256:") { "true" } else { "false" });
    if !digest.is_empty() {
        stated = stated.with("tag", tag);
    }
    found.take(stated);
}

/// `image: x` and `image: {name: x}`, `services:` with a list of images.
fn images(input: &Input, found: &mut Found) {
    let text = input.text();
    let (mut services, mut column) = (false, 0);
    for line in yaml(&text) {
        if line.key == "services" && line.mapping && line.value.is_empty() {
            (services, column) = (true, line.indent);
            continue;
        }
        services &= line.indent > column;
        match line.key {
            "image" if !line.value.is_empty() => image(line.value, found),
            "name" if services && line.item => image(line.value, found),
            text if services && line.item && !line.mapping => image(text, found),
            // `- postgres:15` has a colon, and no value behind a blank.
            _ => {}
        }
    }
    found.packages.dedup();
}

/// `FROM image AS stage`; what an earlier stage is named is no image.
fn dockerfile(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut stages: Vec<String> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [from, rest @ ..] if from.eq_ignore_ascii_case("from") => {
                let mut rest = rest.iter().filter(|word| !word.starts_with("--"));
                let Some(name) = rest.next() else { continue };
                if !stages.iter().any(|stage| stage == name) {
                    image(name, found);
                }
                if let (Some(word), Some(stage)) = (rest.next(), rest.next())
                    && word.eq_ignore_ascii_case("as")
                {
                    stages.push((*stage).to_owned());
                }
            }
            _ => {}
        }
    }
}

/// `provider "registry.terraform.io/hashicorp/aws" { version = "5.0.0" hashes = ["zh:…"] }`
fn terraform(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut current: Option<u32> = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("provider ") {
            let place = unquoted(rest.trim_end_matches('{'));
            let mut parts = place.splitn(2, '/');
            let (registry, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let stated = Stated::new("terraform", name, "", State::Locked).split_name('/');
            let registry = if registry == "registry.terraform.io" { "" } else { registry };
            current = found.take(stated.qualified("repository_url", registry).kind(Kind::Application));
        }
        let Some(stated) = current.and_then(|place| found.packages.get_mut(place as usize)) else { continue };
        if let Some((name, value)) = line.split_once('=')
            && name.trim() == "version"
        {
            stated.version = unquoted(value).to_owned();
        }
        // `h1:` is a hash over the content in base64, `zh:` the SHA-256 of an archive.
        let text = line.trim_matches([',', '"']);
        if let Some(digest) = text.strip_prefix("zh:") {
            stated.hash(Algorithm::Sha256, digest);
        } else if let Some(digest) = text.strip_prefix("h1:").and_then(base64) {
            stated.properties.push(("h1".into(), hex(&digest)));
        }
    }
}

/// Charts on which a chart depends: a list of names, repositories and versions.
fn helm(input: &Input, found: &mut Found) {
    let text = input.text();
    let mut current: Option<u32> = None;
    for line in yaml(&text) {
        if line.key == "name" && line.item {
            current = found.take(Stated::new("helm", line.value, "", State::Locked).kind(Kind::Application));
        }
        let Some(stated) = current.and_then(|place| found.packages.get_mut(place as usize)) else { continue };
        match line.key {
            "version" => stated.version = line.value.to_owned(),
            "repository" if !line.value.is_empty() => {
                stated.qualifiers.push(("repository_url".into(), line.value.to_owned()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::tests::{purls, scan};

    #[test]
    fn actions_and_images_are_read_pinned_or_not() {
        let workflow = b"on: push\njobs:\n  a:\n    container: node:20\n    steps:\n      - uses: actions/checkout@v4\n      - name: x\n        uses: github/codeql-action/init@0123456789012345678901234567890123456789 # v3\n      - uses: ./local\n      - uses: docker://ghcr.io/o/i@sha256:aa\n      - run: echo \"uses: no/no@v1\"\n";
        let catalog = scan(&[(".github/workflows/ci.yml", workflow)]);
        assert_eq!(
            purls(&catalog),
            [
                "pkg:docker/node@20",
                "pkg:docker/o/i@sha256:aa?repository_url=ghcr.io",
                "pkg:github/actions/checkout@v4",
                "pkg:github/github/codeql-action@0123456789012345678901234567890123456789",
            ]
        );
        let pinned: Vec<_> = catalog
            .bom
            .packages
            .iter()
            .map(|package| {
                package.properties.iter().any(|p| p.name == "pinned" && p.value.as_ref() == "true")
            })
            .collect();
        assert_eq!(pinned, [false, true, false, true]);
    }

    #[test]
    fn images_of_gitlab_compose_and_dockerfiles_are_read() {
        let gitlab = b"image: ruby:3.2\ntest:\n  services:\n    - postgres:15\n    - name: redis:7\n  script:\n    - echo x\n";
        assert_eq!(
            purls(&scan(&[(".gitlab-ci.yml", gitlab)])),
            ["pkg:docker/postgres@15", "pkg:docker/redis@7", "pkg:docker/ruby@3.2"]
        );
        let dockerfile = b"ARG V\nFROM --platform=linux/amd64 golang:1.22 AS build\nFROM build AS test\nFROM $X\nFROM scratch\nfrom localhost:5000/a/b\n";
        assert_eq!(
            purls(&scan(&[("Dockerfile", dockerfile)])),
            ["pkg:docker/a/b?repository_url=localhost:5000", "pkg:docker/golang@1.22"]
        );
        let compose = b"services:\n  db:\n    image: docker.io/library/postgres:15\n";
        assert_eq!(
            purls(&scan(&[("compose.yaml", compose)])),
            ["pkg:docker/library/postgres@15?repository_url=docker.io"]
        );
    }

    #[test]
    fn terraform_and_helm_are_read() {
        let lock = b"provider \"registry.terraform.io/hashicorp/aws\" {\n  version     = \"5.0.0\"\n  constraints = \"~> 5\"\n  hashes = [\n    \"zh:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n  ]\n}\n";
        let catalog = scan(&[(".terraform.lock.hcl", lock)]);
        assert_eq!(purls(&catalog), ["pkg:terraform/hashicorp/aws@5.0.0"]);
        assert_eq!(catalog.bom.packages[0].hashes.len(), 1);
        let chart = b"dependencies:\n- name: postgresql\n  repository: https://c.test/b\n  version: 12.1.2\ndigest: sha256:x\n";
        assert_eq!(
            purls(&scan(&[("Chart.lock", chart)])),
            ["pkg:helm/postgresql@12.1.2?repository_url=https:%2F%2Fc.test%2Fb"]
        );
    }
}
