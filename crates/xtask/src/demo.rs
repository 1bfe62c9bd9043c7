//! The main job on a real project, end to end, as a newcomer would type it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What an intruder on the build machine puts before `tar` on the PATH: it adds a file to every archive.
/// A harmless marker stands for the payload.
const INTRUDER: &str = "#!/bin/sh
echo 'COUNTERSIGN HARMLESS TEST PAYLOAD' > liblua-update.so
exec /usr/bin/tar \"$@\" liblua-update.so
";

pub(crate) fn run() -> Result<()> {
    for (tool, package) in [("cc", "gcc"), ("make", "make"), ("ar", "binutils"), ("tar", "tar")] {
        let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
        ensure!(found, "`{tool}` is missing: apt-get install {package}");
    }
    let program = crate::program("dev")?;
    let folder = tempfile::Builder::new().prefix("lua-").tempdir()?;
    crate::lua::write(folder.path())?;
    let shell = Shell { program: &program, folder: folder.path() };

    shell.say("A new evidence store. The passphrase comes from COUNTERSIGN_PASSPHRASE.");
    shell.countersign("init", 0)?;
    shell.say("Release 1: recorded and signed.");
    shell.countersign("run --product lua --release 1.0.0 --output dist/lua.tar.gz -- make -s -j2 dist", 0)?;
    shell.countersign("show latest", 0)?;
    shell.countersign("sign dist/lua.tar.gz", 0)?;

    shell.say("Release 2: one source file has changed. What follows from it is explained.");
    let source = folder.path().join("lutf8lib.c");
    let changed = fs::read_to_string(&source)?.replace("\"invalid UTF-8 code\"", "\"not UTF-8\"");
    fs::write(&source, changed)?;
    shell.clean()?;
    shell.countersign("run --product lua --release 2.0.0 --output dist/lua.tar.gz -- make -s -j2 dist", 0)?;
    shell.countersign("compare r1 r2", 0)?;
    shell.countersign("sign dist/lua.tar.gz", 0)?;

    shell.say("A customer, offline, with the file, its bundle and the trust file.");
    shell.countersign("trust export lua-trust.json", 0)?;
    shell.countersign("verify dist/lua.tar.gz --trust lua-trust.json", 0)?;

    fs::copy(
        folder.path().join("dist/lua.tar.gz.sigstore.json"),
        folder.path().join("release-2.sigstore.json"),
    )?;

    shell.say("Release 3: nothing has changed, but somebody sits on the build machine.");
    let tools = tempfile::Builder::new().prefix("intruder-").tempdir()?;
    let tar = tools.path().join("tar");
    fs::write(&tar, INTRUDER)?;
    fs::set_permissions(&tar, PermissionsExt::from_mode(0o755))?;
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").context("no PATH")?);
    shell.clean()?;
    shell.with_path(
        "run --product lua --release 3.0.0 --output dist/lua.tar.gz -- make -s -j2 dist",
        Some(&path),
        0,
    )?;
    shell.countersign("sign dist/lua.tar.gz", 1)?;
    shell.say("Denied. The old bundle does not help the intruder either:");
    shell.countersign("verify dist/lua.tar.gz --bundle release-2.sigstore.json --trust lua-trust.json", 1)?;

    shell.say("The log and the store.");
    shell.countersign("log check", 0)?;
    shell.countersign("fsck", 0)?;
    println!("\nAll as it should be.");
    Ok(())
}

struct Shell<'a> {
    program: &'a Path,
    folder: &'a Path,
}

impl Shell<'_> {
    fn say(&self, words: &str) {
        println!("\n# {words}");
    }

    fn clean(&self) -> Result<()> {
        println!("$ make -s clean");
        let status = crate::command("make").args(["-s", "clean"]).current_dir(self.folder).status()?;
        ensure!(status.success(), "`make clean` failed");
        Ok(())
    }

    fn countersign(&self, arguments: &str, expected: i32) -> Result<()> {
        self.with_path(arguments, None, expected)
    }

    fn with_path(&self, arguments: &str, path: Option<&str>, expected: i32) -> Result<()> {
        println!("$ countersign {arguments}");
        let mut command = crate::command(self.program);
        command
            .args(arguments.split(' '))
            .current_dir(self.folder)
            .env("COUNTERSIGN_PASSPHRASE", "only a demonstration")
            .env_remove("COUNTERSIGN_STORE");
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let status = command.status()?;
        ensure!(
            status.code() == Some(expected),
            "`countersign {arguments}` ended with {status}, not {expected}"
        );
        Ok(())
    }
}
