//! Each place where something starts, and its honest neighbours.

use super::*;

fn hooks(name: &str, content: &str) -> Vec<String> {
    let mut found = Content::default();
    read(&name.into(), content.as_bytes(), &mut found);
    found.hooks.iter().map(ToString::to_string).collect()
}

#[test]
fn each_place_is_known() {
    let manifest = r#"{"scripts": {"postinstall": "node x.js", "test": "jest", "prepare": "tsc"}}"#;
    assert_eq!(
        hooks("package/package.json", manifest),
        ["npm-install: postinstall: node x.js", "npm-publish: prepare: tsc"]
    );
    assert_eq!(hooks("package/package.json", r#"{"scripts": {"test": "jest"}}"#), [""; 0]);
    assert_eq!(
        hooks("x.pth", "/opt/x\nimport os; os.getcwd()\n"),
        ["python-path: x.pth: /opt/x", "python-start: x.pth: import os; os.getcwd()"]
    );
    assert_eq!(hooks("x.pth", "win32\nimportant\n"), [""; 0]);
    assert_eq!(hooks("./postinst", "#!/bin/sh\n"), ["deb-install: postinst"]);
    assert_eq!(hooks("usr/share/doc/postinst", "#!/bin/sh\n"), [""; 0]);
    assert_eq!(
        hooks("d.dist-info/entry_points.txt", "[console_scripts]\na = b:c\n"),
        ["entry-point: console_scripts: a = b:c"]
    );
    assert_eq!(hooks("tools/install.ps1", "x"), ["nuget-install: tools/install.ps1"]);
    assert_eq!(hooks("./etc/cron.d/job", "* * * * * root x"), ["cron: ./etc/cron.d/job"]);
    assert_eq!(hooks("./etc/cron.d/", ""), [""; 0]);
    let script = "EW_CREATEDIR path=\"$INSTDIR\"\nEW_SHELLEXEC verb=\"open\", file=\"a.exe\"\n";
    assert_eq!(hooks("#script", script), ["nsis-install: EW_SHELLEXEC verb=\"open\", file=\"a.exe\""]);
    assert_eq!(hooks("#table/CustomAction", "Action*:2d48\tType:0502\nRun\t34\n"), ["msi-install: Run 34"]);
    let sets = "Action\tType\tSource\nSetArp\t2099\tARPINSTALLLOCATION\t[INSTALLDIR]\n";
    assert_eq!(
        hooks("#table/CustomAction", sets),
        ["msi-property: SetArp 2099 ARPINSTALLLOCATION [INSTALLDIR]"]
    );
    assert_eq!(hooks("#table/File", "Run\t34\n"), [""; 0]);
    let script = "EW_WRITEREG root=HKCU, key=\"Software\\Microsoft\\Windows\\CurrentVersion\\Run\", value=\"x\"\nEW_WRITEREG root=HKCU, key=\"Software\\X\"\n";
    assert_eq!(hooks("#script", script).len(), 1);
    let table = "Shortcut*:s72\tTarget:s72\nS1\t[#main.exe]\nS2\tmshta https://x.invalid\n";
    assert_eq!(hooks("#table/Shortcut", table), ["msi-shortcut: S2 mshta https://x.invalid"]);
    let table = "Registry*:s72\tKey:l255\nr1\tSoftware\\Microsoft\\Windows\\CurrentVersion\\Run\tx\n";
    assert_eq!(
        hooks("#table/Registry", table),
        ["msi-start: r1 Software\\Microsoft\\Windows\\CurrentVersion\\Run x"]
    );
    let table = "Registry*:2d48\nr1\t2\tSoftware\\x5cMicrosoft\\x5cWindows\\x5cCurrentVersion\\x5cRun\tx\n";
    assert_eq!(hooks("#table/Registry", table).len(), 1);
    assert_eq!(hooks("#table/Registry", "Registry\nr1\tSoftware\\Example\tx\n"), [""; 0]);
    assert_eq!(
        hooks("#table/ServiceInstall", "ServiceInstall\nsvc\tharmless\n"),
        ["msi-service: svc harmless"]
    );
    assert_eq!(hooks("package/binding.gyp", "{}"), ["npm-install: node-gyp rebuild"]);
    assert_eq!(
        hooks("package/binding.gyp", "{'x': '<!(node x.js)'}"),
        ["npm-install: node x.js", "npm-install: node-gyp rebuild"]
    );
    for usual in ["<!(node -p \"require('node-addon-api').gyp\")", "<!(cc -v 2>&1 | perl -ne 'print $1')"] {
        let found = hooks("package/binding.gyp", usual);
        assert!(found[0].starts_with("gyp-command: "), "{found:?}");
    }
    let manifest =
        "Manifest-Version: 1.0\r\nLauncher-Agent-Class: a.B\r\nClass-Path: http://x.invalid/a.jar\r\n";
    assert_eq!(
        hooks("META-INF/MANIFEST.MF", manifest),
        ["java-start: Class-Path: http://x.invalid/a.jar", "java-start: Launcher-Agent-Class: a.B"]
    );
    assert_eq!(hooks("META-INF/MANIFEST.MF", "Class-Path: lib/a.jar\r\n"), [""; 0]);
    assert_eq!(
        hooks("META-INF/services/javax.annotation.processing.Processor", "a.B\n"),
        ["java-build: a.B"]
    );
    let setup = "from setuptools.command.install import install\nsetup(cmdclass={'install': X})\n";
    assert_eq!(hooks("a-1/setup.py", setup), ["python-build: setup.py has its own `install`"]);
    assert_eq!(
        hooks("a-1/setup.py", "from setuptools.command.build_ext import build_ext\ncmdclass"),
        [""; 0]
    );
    assert_eq!(
        hooks("a-1/pyproject.toml", "[build-system]\nbackend-path = [\".\"]\n"),
        ["python-build: a build backend of its own"]
    );
    assert_eq!(
        hooks("p/.vscode/tasks.json", r#"{"runOn": "folderOpen"}"#),
        ["editor: tasks.json runs when the folder is opened"]
    );
    assert_eq!(
        hooks("./postinst", "#!/bin/sh\nchmod u+s /bin/x\nchmod 0755 y\n# chmod 4755 z\nchmod g+w s\n"),
        ["deb-install: postinst", "rights: chmod u+s /bin/x"]
    );
    assert_eq!(
        hooks("./postinst", "#!/bin/sh\ninstall -m 4755 a b\ninstall -m 755 c d\nsetcap x+ep /bin/y\n"),
        ["deb-install: postinst", "rights: install -m 4755 a b", "rights: setcap x+ep /bin/y"]
    );
    let script = "#!/bin/sh\nuseradd -o -u 0 x\ndpkg-divert --divert /usr/bin/ssh.d --add /usr/bin/ssh\ndpkg-divert --add /usr/bin/x\n";
    assert_eq!(
        hooks("./postinst", script),
        [
            "deb-install: postinst",
            "rights: useradd -o -u 0 x",
            "usual-program: dpkg-divert --divert /usr/bin/ssh.d --add /usr/bin/ssh"
        ]
    );
    assert_eq!(
        hooks("./etc/x.conf", "a=1\n# /bin/sh -c no\nrun='/bin/sh -c true'\n"),
        ["settings: run='/bin/sh -c true'"]
    );
    assert_eq!(hooks("./usr/x.conf", "run='/bin/sh -c true'\n"), [""; 0]);
    for (path, place) in [
        ("./etc/ld.so.conf.d/0.conf", "every program"),
        ("./usr/share/polkit-1/rules.d/x.rules", "rights"),
        ("./etc/modules-load.d/x.conf", "machine start"),
    ] {
        assert_eq!(hooks(path, "x"), [format!("{place}: {path}")]);
    }
    assert_eq!(
        hooks("a-1/.cargo/config.toml", "[build]\nrustc-wrapper = \"./x.sh\"\njobs = 4\n"),
        ["cargo-settings: rustc-wrapper = \"./x.sh\""]
    );
    let entries = |manifest: &str| {
        let mut found = Content::default();
        read(&"package/package.json".into(), manifest.as_bytes(), &mut found);
        found.entry_files.into_iter().map(|(name, file)| format!("{name} {file}")).collect::<Vec<_>>()
    };
    assert_eq!(entries(r#"{"main": "./a.js", "browser": {"b": "c"}}"#), ["main a.js"]);
    let programs = r#"{"bin": {"npm": "x.js", "mine": "y.js"}}"#;
    assert_eq!(entries(programs), ["bin mine y.js", "bin npm x.js"]);
    assert_eq!(hooks("d.dist-info/entry_points.txt", "[pytest11]\na = b\n"), ["plug-in: pytest11: a = b"]);
    assert_eq!(
        hooks("META-INF/services/java.sql.Driver", "# x\na.B\n"),
        ["java-service: java.sql.Driver: a.B"]
    );
    assert_eq!(
        hooks(
            "./lib/systemd/system/a.service",
            "[Service]\nEnvironment=LD_PRELOAD=/a.so\nExecStart=/usr/sbin/a -d\n"
        ),
        [
            "every program: Environment=LD_PRELOAD=/a.so",
            "machine start: ./lib/systemd/system/a.service",
            "unit-command: ExecStart=/usr/sbin/a -d"
        ]
    );
    assert_eq!(
        hooks("./lib/systemd/system/a.service", "EnvironmentFile=/etc/default/a\nEnvironmentFile=-/tmp/.a\n"),
        ["machine start: ./lib/systemd/system/a.service", "settings: EnvironmentFile=-/tmp/.a"]
    );
    assert_eq!(
        hooks("./lib/udev/rules.d/60-x.rules", "# RUN+=no\nACTION==\"add\", RUN+=\"/lib/udev/x\"\n"),
        ["device-command: ACTION==\"add\", RUN+=\"/lib/udev/x\"", "device: ./lib/udev/rules.d/60-x.rules"]
    );
    let pam = "auth sufficient pam_succeed_if.so quiet user = x\nauth required pam_unix.so\n";
    assert_eq!(
        hooks("./etc/pam.d/x", pam),
        ["login: ./etc/pam.d/x", "login: auth sufficient pam_succeed_if.so quiet user = x"]
    );
    assert_eq!(hooks("./usr/x.conf", pam), [""; 0]);
    assert_eq!(
        hooks(
            "./postinst",
            "#!/bin/sh\nupdate-alternatives --install /usr/local/bin/sudo sudo /usr/lib/x/sudo 9\n"
        ),
        [
            "deb-install: postinst",
            "usual-program: update-alternatives --install /usr/local/bin/sudo sudo /usr/lib/x/sudo 9"
        ]
    );
    assert_eq!(
        hooks("#script/postin", "chmod 4755 /usr/bin/x\n"),
        ["rights: chmod 4755 /usr/bin/x", "rpm-install: postin"]
    );
    let config = r#"{"rootfs": {}, "config": {"Entrypoint": ["/a", "b"], "User": "0:0", "Env": ["PATH=/bin", "LD_PRELOAD=/x.so"]}}"#;
    assert_eq!(
        hooks("a.json", config),
        ["image-environment: LD_PRELOAD=/x.so", "image-start: Entrypoint /a b", "image-user: root"]
    );
    assert_eq!(hooks("a.json", r#"{"config": {"Entrypoint": ["/a"]}}"#), [""; 0]);
    assert_eq!(hooks("random.py", "x"), ["python-library: random.py"]);
    assert_eq!(
        hooks("a-1.data/purelib/json/__init__.py", "x"),
        ["python-library: a-1.data/purelib/json/__init__.py"]
    );
    assert_eq!(hooks("a/random.py", "x"), [""; 0]);
    assert_eq!(hooks("a-1.data/scripts/git", "#!python"), ["usual-program: git"]);
    assert_eq!(hooks("a-1.data/scripts/mine", "#!python"), [""; 0]);
    assert_eq!(
        hooks("d.dist-info/entry_points.txt", "[console_scripts]\nssh = b:c\n"),
        ["entry-point: console_scripts: ssh = b:c", "usual-program: ssh"]
    );
    assert_eq!(hooks("package/package.json", programs), ["usual-program: npm"]);
    assert_eq!(hooks("package/package.json", r#"{"name": "mine", "bin": "x.js"}"#), [""; 0]);
    assert_eq!(
        hooks(".yarnrc.yml", "yarnPath: ./x.cjs\nnodeLinker: pnp\n"),
        ["package manager: yarnPath: ./x.cjs"]
    );
    assert_eq!(hooks("./lib/security/pam_x.so", "x"), ["login: ./lib/security/pam_x.so"]);
    assert_eq!(hooks("./etc/ld.so.preload", "/x.so\n"), ["every program: ./etc/ld.so.preload"]);
    assert_eq!(hooks("./etc/sudoers.d/x", "x"), ["rights: ./etc/sudoers.d/x"]);
    assert_eq!(
        hooks("build/a.targets", "<Exec Command=\"x\"/>"),
        ["nuget-build: build/a.targets", "nuget-command: Command=\"x\"/"]
    );
}
