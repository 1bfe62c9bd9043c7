//! Lock files against the manifests beside them: whether what is locked is what was asked for.
//!
//! What a manifest asks for in another way than by a version or a range (an address, a folder, a tag, the workspace) is not
//! compared, and neither is a version that is more than its package manager's numbers.
//!
//! | module | pairs |
//! |---|---|
//! | `node` | `package.json` with `package-lock.json`, `npm-shrinkwrap.json`, `yarn.lock`, `pnpm-lock.yaml` |
//! | `cargo`, `go` | `Cargo.toml` with `Cargo.lock`, `go.mod` with `go.sum` |
//! | `python` | `pyproject.toml` with `poetry.lock`, `uv.lock`, `pdm.lock` |
//! | `ruby`, `php` | `Gemfile` with `Gemfile.lock`, `composer.json` with `composer.lock` |

mod cargo;
mod go;
mod node;
mod php;
mod python;
mod release;
mod ruby;

/// Takes manifest and lock file, and says what is amiss; nothing if one of them cannot be read, for that is a problem of its own.
pub type Compare = fn(&[u8], &[u8]) -> Option<Vec<String>>;

/// A manifest, a lock file that is made from it, and how they are compared.
pub const PAIRS: [(&str, &str, Compare); 12] = [
    ("package.json", "package-lock.json", node::npm),
    ("package.json", "npm-shrinkwrap.json", node::npm),
    ("package.json", "yarn.lock", node::yarn),
    ("package.json", "pnpm-lock.yaml", node::pnpm),
    ("Cargo.toml", "Cargo.lock", cargo::compare),
    ("go.mod", "go.sum", go::compare),
    ("pyproject.toml", "poetry.lock", python::compare),
    ("pyproject.toml", "uv.lock", python::compare),
    ("pyproject.toml", "pdm.lock", python::compare),
    ("Gemfile", "Gemfile.lock", ruby::compare),
    ("gems.rb", "gems.locked", ruby::compare),
    ("composer.json", "composer.lock", php::compare),
];

#[cfg(test)]
mod tests {
    use super::PAIRS;

    /// Compares, and reads damaged copies of both: none may panic, whatever it says.
    fn wrong(manifest: (&str, &str), lock: (&str, &str)) -> Vec<String> {
        let (_, _, compare) =
            PAIRS.iter().find(|(asked, locked, _)| (*asked, *locked) == (manifest.0, lock.0)).unwrap();
        for (text, other, is_lock) in [(manifest.1, lock.1, false), (lock.1, manifest.1, true)] {
            let step = (text.len() / 100).max(1);
            for at in (0..text.len()).step_by(step) {
                let mut damaged = text.as_bytes().to_vec();
                damaged[at] ^= 1;
                for damaged in [damaged.as_slice(), &text.as_bytes()[..at]] {
                    let (first, second) =
                        if is_lock { (other.as_bytes(), damaged) } else { (damaged, other.as_bytes()) };
                    compare(first, second);
                }
            }
        }
        compare(manifest.1.as_bytes(), lock.1.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn what_is_locked_is_what_was_asked_for() {
        let manifest = r#"{"dependencies": {"a": "^1.0.0"}, "devDependencies": {"b": "2.0.0"}}"#;
        let lock = |own: &str, a: &str| {
            format!(
                r#"{{"lockfileVersion": 3, "packages": {{"": {{"dependencies": {own}, "devDependencies": {{"b": "2.0.0"}}}},
                "node_modules/a": {{"version": "{a}"}}, "node_modules/b": {{"version": "2.0.0"}}}}}}"#
            )
        };
        let npm = |lock: &str| wrong(("package.json", manifest), ("package-lock.json", lock));
        assert_eq!(npm(&lock(r#"{"a": "^1.0.0"}"#, "1.5.0")), Vec::<String>::new());
        assert_eq!(
            npm(&lock(r#"{"a": "^1.0.0"}"#, "2.0.0")),
            ["the manifest asks for a ^1.0.0, 2.0.0 is locked"]
        );
        assert_eq!(
            npm(&lock(r#"{"a": "^2.0.0"}"#, "1.0.0")),
            ["the manifest asks for a ^1.0.0, the lock file was made for ^2.0.0"]
        );
        assert_eq!(
            npm(&lock(r#"{"a": "^1.0.0", "evil": "1"}"#, "1.0.0")),
            ["the lock file was made for evil, which the manifest does not ask for"]
        );
        let old = r#"{"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0"}}}"#;
        assert_eq!(npm(old), ["b 2.0.0 is not locked"]);
        let cargo = |lock: &str| {
            let manifest =
                "[dependencies]\na = \"1\"\nb = { version = \"2\", package = \"c\" }\nd = { path = \"d\" }\n";
            wrong(("Cargo.toml", manifest), ("Cargo.lock", lock))
        };
        let entry =
            |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        assert_eq!(cargo(&(entry("a", "1.2.0") + &entry("c", "2.0.0"))), Vec::<String>::new());
        assert_eq!(
            cargo(&(entry("a", "0.9.0") + &entry("c", "2.0.0"))),
            ["the manifest asks for a ^1, 0.9.0 is locked"]
        );
        assert_eq!(cargo(&entry("a", "1.2.0")), ["c ^2 is not locked"]);
        let go = |lock: &str| {
            let manifest = "module m\nrequire a.test/x v1.0.0\nrequire (\n b.test/y v1.1.0 // indirect\n c.test/z v1\n)\nreplace c.test/z => ../z\n";
            wrong(("go.mod", manifest), ("go.sum", lock))
        };
        assert_eq!(go("a.test/x v1.0.0 h1:x=\nb.test/y v1.1.0/go.mod h1:y=\n"), Vec::<String>::new());
        assert_eq!(
            go("a.test/x v1.0.1 h1:x=\nb.test/y v1.1.0 h1:y=\n"),
            ["a.test/x v1.0.0 has no hash in go.sum"]
        );
        assert_eq!(wrong(("package.json", "{"), ("package-lock.json", "{}")), Vec::<String>::new());
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn yarn_s_keys_are_what_was_asked_for() {
        let manifest = r#"{"dependencies": {"a": "^1.0.0", "own": "workspace:*"}, "devDependencies": {"@s/b": "~2.0.0"}}"#;
        let yarn = |lock: &str| wrong(("package.json", manifest), ("yarn.lock", lock));
        let classic = "# yarn lockfile v1\n\n\"@s/b@~2.0.0\":\n  version \"2.0.1\"\n\na@^1, a@^1.0.0:\n  version \"1.5.0\"\n";
        assert_eq!(yarn(classic), NONE);
        let berry = "__metadata:\n  version: 8\n\n\"@s/b@npm:~2.0.0\":\n  version: 2.0.1\n\n\"a@npm:^1.0.0\":\n  version: 1.5.0\n";
        assert_eq!(yarn(berry), NONE);
        assert_eq!(
            yarn(&classic.replace("a@^1.0.0", "a@^0.9.0")),
            ["the manifest asks for a ^1.0.0, which the lock file was not made for"]
        );
        assert_eq!(
            yarn(&berry.replace("1.5.0", "2.0.0")),
            ["the manifest asks for a ^1.0.0, 2.0.0 is locked"]
        );
        let overridden = manifest.replace("{\"dep", "{\"resolutions\": {\"a\": \"2.0.0\"}, \"dep");
        assert_eq!(
            wrong(("package.json", &overridden), ("yarn.lock", &berry.replace("1.5.0", "2.0.0"))),
            NONE
        );
    }

    #[test]
    fn pnpm_keeps_ranges_beside_versions() {
        let manifest = r#"{"dependencies": {"a": "^1.0.0"}, "devDependencies": {"@s/b": "2.0.0"}}"#;
        let pnpm = |lock: &str| wrong(("package.json", manifest), ("pnpm-lock.yaml", lock));
        let nine = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1.0.0\n        version: 1.5.0(x@1.0.0)\n    devDependencies:\n      '@s/b':\n        specifier: 2.0.0\n        version: 2.0.0\n  other:\n    dependencies:\n      c:\n        specifier: ^9\n        version: 9.0.0\npackages:\n  a@1.5.0:\n    resolution: {integrity: sha512-x}\n";
        assert_eq!(pnpm(nine), NONE);
        let five = "lockfileVersion: 5.4\nspecifiers:\n  a: ^1.0.0\n  '@s/b': 2.0.0\ndependencies:\n  a: 1.5.0_x\ndevDependencies:\n  '@s/b': 2.0.0\n";
        assert_eq!(pnpm(five), NONE);
        assert_eq!(
            pnpm(&nine.replace("specifier: ^1.0.0", "specifier: ^2.0.0")),
            ["the manifest asks for a ^1.0.0, the lock file was made for ^2.0.0"]
        );
        assert_eq!(
            pnpm(&five.replace("1.5.0_x", "2.5.0")),
            ["the manifest asks for a ^1.0.0, 2.5.0 is locked"]
        );
        assert_eq!(
            pnpm(&five.replace("  a: ^1.0.0\n", "  a: ^1.0.0\n  evil: '1'\n")),
            ["the lock file was made for evil, which the manifest does not ask for"]
        );
    }

    #[test]
    fn python_s_projects_ask_in_two_ways() {
        let manifest = "[project]\nname = \"app\"\ndependencies = [\"Requests[socks]>=2.30,<3\", \"pywin32; sys_platform == 'win32'\"]\n[dependency-groups]\ndev = [\"pytest~=8.0\"]\n";
        let lock = |requests: &str| {
            format!(
                "version = 1\n[[package]]\nname = \"app\"\nsource = {{ virtual = \".\" }}\n[[package]]\nname = \"requests\"\nversion = \"{requests}\"\n[[package]]\nname = \"pytest\"\nversion = \"8.1.0\"\n"
            )
        };
        let uv = |lock: &str| wrong(("pyproject.toml", manifest), ("uv.lock", lock));
        assert_eq!(uv(&lock("2.31.0")), NONE);
        assert_eq!(uv(&lock("2.29.0")), ["the manifest asks for requests >=2.30,<3, 2.29.0 is locked"]);
        let poetry = "[tool.poetry.dependencies]\npython = \"^3.9\"\nrequests = \"^2.30\"\nlocal = { path = \"x\" }\n[tool.poetry.group.dev.dependencies]\npytest = { version = \"^9\", extras = [\"x\"] }\nblack = \"*\"\n";
        assert_eq!(
            wrong(("pyproject.toml", poetry), ("poetry.lock", &lock("2.31.0"))),
            ["black * is not locked", "the manifest asks for pytest ^9, 8.1.0 is locked"]
        );
    }

    #[test]
    fn bundler_and_composer() {
        let gemfile = "source 'https://rubygems.org'\ngem 'rails', '~> 7.0'\ngem 'pg'\n";
        let lock = |rails: &str| {
            format!(
                "GEM\n  remote: https://rubygems.org/\n  specs:\n    pg (1.5.4-x86_64-linux)\n    rails ({rails})\n      actioncable (= {rails})\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  pg\n  rails (~> 7.0)\n"
            )
        };
        let ruby = |lock: &str| wrong(("Gemfile", gemfile), ("Gemfile.lock", lock));
        assert_eq!(ruby(&lock("7.1.2")), NONE);
        assert_eq!(ruby(&lock("6.1.0")), ["the manifest asks for rails ~> 7.0, 6.1.0 is locked"]);
        assert_eq!(
            ruby(&lock("7.1.2").replace("  pg\n  rails", "  rails")),
            ["the manifest asks for pg , which the lock file was not made for".replace(" ,", ",")]
        );
        let composer = r#"{"require": {"php": ">=8.1", "Symfony/console": "^6.0 || ^7.0", "psr/log-implementation": "1.0"}}"#;
        let lock = |version: &str| {
            format!(
                r#"{{"packages": [{{"name": "symfony/console", "version": "{version}", "provide": {{"psr/log-implementation": "1.0"}}}}], "packages-dev": []}}"#
            )
        };
        let php = |lock: &str| wrong(("composer.json", composer), ("composer.lock", lock));
        assert_eq!(php(&lock("v6.4.1")), NONE);
        assert_eq!(
            php(&lock("v5.4.1")),
            ["the manifest asks for Symfony/console ^6.0 || ^7.0, v5.4.1 is locked"]
        );
        assert_eq!(php(r#"{"packages": []}"#).len(), 2);
    }
}
