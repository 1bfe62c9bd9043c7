//! A real C project: Lua, as the `lua-src` crate brings it, with a Makefile and a small interpreter of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MAKEFILE: &str = "CFLAGS = -O2 -DLUA_USE_POSIX
OBJECTS = $(patsubst %.c,%.o,$(wildcard l*.c))
dist: lua
\tmkdir -p dist
\ttar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -czf dist/lua.tar.gz lua lua.h luaconf.h lualib.h lauxlib.h
lua: shell.o liblua.a
\t$(CC) -o $@ shell.o liblua.a -lm
liblua.a: $(OBJECTS)
\trm -f $@
\tar rcsD $@ $(OBJECTS)
clean:
\trm -rf *.o lua liblua.a dist
";

const SHELL: &str = "#include \"lua.h\"
#include \"lauxlib.h\"
#include \"lualib.h\"
int main(int argc, char **argv) {
    lua_State *state = luaL_newstate();
    luaL_openlibs(state);
    return argc > 1 && luaL_dostring(state, argv[1]);
}
";

/// Writes the project into a folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(source()?)? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        fs::copy(&path, folder.join(name))?;
    }
    fs::write(folder.join("Makefile"), MAKEFILE)?;
    fs::write(folder.join("shell.c"), SHELL)?;
    Ok(())
}

fn source() -> Result<PathBuf> {
    let metadata = crate::metadata()?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package =
        packages.iter().find(|package| package["name"] == "lua-src").context("lua-src is not among them")?;
    let manifest = Path::new(package["manifest_path"].as_str().context("no manifest path")?);
    Ok(manifest.with_file_name("lua-5.4.9"))
}
