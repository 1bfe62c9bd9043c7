//! The variables of a program that change what it loads or runs, and no others: no secret may enter a trace.

/// Variables that are told with their values.
const TOLD: &[&[u8]] = &[
    b"LD_PRELOAD",
    b"LD_LIBRARY_PATH",
    b"LD_AUDIT",
    b"GCONV_PATH",
    b"PYTHONPATH",
    b"PYTHONSTARTUP",
    b"PYTHONHOME",
    b"NODE_OPTIONS",
    b"NODE_PATH",
    b"RUSTC_WRAPPER",
    b"RUSTC_WORKSPACE_WRAPPER",
    b"RUSTFLAGS",
    b"CC",
    b"CXX",
    b"LD",
    b"BASH_ENV",
    b"ENV",
    b"PERL5OPT",
    b"PERL5LIB",
    b"RUBYOPT",
    b"RUBYLIB",
    b"JAVA_TOOL_OPTIONS",
    b"GIT_SSH_COMMAND",
    b"GIT_EXEC_PATH",
    b"COMPILER_PATH",
    b"GCC_EXEC_PREFIX",
    b"LIBRARY_PATH",
];

/// Variables of which only the name is told: `make TOKEN=…` puts the token into it.
const NAMED: &[&[u8]] = &[b"MAKEFLAGS"];

/// Returns what is told of a variable (`NAME=value`), if anything.
pub(super) fn told(variable: &[u8]) -> Option<&[u8]> {
    let name = variable.split(|byte| *byte == b'=').next()?;
    if TOLD.contains(&name) {
        return Some(variable);
    }
    NAMED.contains(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_variable_is_told() {
        assert_eq!(told(b"LD_PRELOAD=/tmp/x.so"), Some(b"LD_PRELOAD=/tmp/x.so".as_slice()));
        assert_eq!(told(b"MAKEFLAGS=-j4 -- TOKEN=secret"), Some(b"MAKEFLAGS".as_slice()));
        for other in
            [b"TOKEN=LD_PRELOAD".as_slice(), b"LD_PRELOADED=x", b"AWS_SECRET_ACCESS_KEY=x", b"", b"=x"]
        {
            assert_eq!(told(other), None);
        }
    }
}
