//! Members of the .NET libraries that reach out of a program: who starts others, asks the net, or makes code of bytes refers to one.
//!
//! One table for who measures (`inspect`: which of them an image refers to) and who judges (`judge`: the first of a family).

/// Families of members, by how `Namespace.Type.Member` begins.
const FAMILIES: &[(&str, &[&str])] = &[
    ("starts programs", &["System.Diagnostics.Process.Start", "System.Diagnostics.ProcessStartInfo."]),
    ("looks up names of hosts", &["System.Net.Dns."]),
    (
        "asks the web",
        &[
            "System.Net.WebClient.",
            "System.Net.WebRequest.",
            "System.Net.HttpWebRequest.",
            "System.Net.FtpWebRequest.",
            "System.Net.HttpListener.",
            "System.Net.Http.HttpClient.",
            "System.Net.Http.HttpMessageInvoker.",
            "System.Net.WebSockets.ClientWebSocket.",
        ],
    ),
    (
        "opens connections",
        &[
            "System.Net.Sockets.Socket.",
            "System.Net.Sockets.TcpClient.",
            "System.Net.Sockets.TcpListener.",
            "System.Net.Sockets.UdpClient.",
            "System.Net.NetworkInformation.Ping.",
        ],
    ),
    ("sends mail", &["System.Net.Mail.SmtpClient."]),
    (
        "loads code",
        &[
            "System.Reflection.Assembly.Load",
            "System.Reflection.Assembly.UnsafeLoadFrom",
            "System.AppDomain.Load",
            "System.AppDomain.ExecuteAssembly",
            "System.Runtime.Loader.AssemblyLoadContext.LoadFrom",
            "Microsoft.CSharp.CSharpCodeProvider.",
        ],
    ),
    (
        "writes to the registry",
        &["Microsoft.Win32.Registry.SetValue", "Microsoft.Win32.RegistryKey.SetValue"],
    ),
];

/// Returns what a reference, `Assembly!Namespace.Type.Member`, shows that a program does.
pub fn family(reference: &str) -> Option<&'static str> {
    let member = reference.rsplit_once('!').map_or(reference, |(_, member)| member);
    let listed = |begins: &[&str]| begins.iter().any(|begin| member.starts_with(begin));
    FAMILIES.iter().find(|(_, begins)| listed(begins)).map(|(family, _)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_belong_to_families() {
        assert_eq!(family("System!System.Net.Dns.GetHostEntry"), Some("looks up names of hosts"));
        assert_eq!(family("mscorlib!System.Reflection.Assembly.LoadFile"), Some("loads code"));
        assert_eq!(family("System!System.Diagnostics.Process.Start"), Some("starts programs"));
        assert_eq!(family("System!System.Diagnostics.Process.GetCurrentProcess"), None);
        assert_eq!(family("System!System.Net.DnsEndPoint..ctor"), None);
    }
}
