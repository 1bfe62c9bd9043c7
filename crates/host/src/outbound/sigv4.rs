//! AWS Signature Version 4: how a request to an Amazon service says who sends it.
//!
//! Only what a service with one path takes: `POST /` with a body, no query. The secret goes into four rounds of HMAC-SHA-256 and
//! nowhere else.

use aws_lc_rs::{digest, hmac};

/// Who asks, where and when.
pub struct Amazon<'a> {
    /// The access key's id.
    pub access_key: &'a str,
    /// The secret.
    pub secret_key: &'a str,
    /// The token of temporary credentials.
    pub session_token: Option<&'a str>,
    /// `eu-central-1`…
    pub region: &'a str,
    /// `kms`…
    pub service: &'a str,
    /// The moment, as in `20150830T123600Z`.
    pub moment: &'a str,
}

impl Amazon<'_> {
    /// Returns the headers that a request needs besides its own: when, by whose session, and the signature over all of them.
    /// `host` is the authority as it stands in the URL; names of `headers` are in small letters.
    pub fn headers(&self, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<(&'static str, String)> {
        let mut added = vec![("x-amz-date", self.moment.to_owned())];
        added.extend(self.session_token.map(|token| ("x-amz-security-token", token.to_owned())));
        let mut signed = vec![("host", host)];
        signed.extend(headers);
        signed.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
        let authorization = self.authorization("POST", &mut signed, body);
        added.push(("authorization", authorization));
        added
    }

    /// Signs a request for `/` (AWS Signature Version 4, "Create a signed request", steps 1 to 5).
    fn authorization(&self, method: &str, headers: &mut [(&str, &str)], body: &[u8]) -> String {
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let request = format!("{method}\n/\n\n{lines}\n{names}\n{}", sha256(body));
        let date = self.moment.split('T').next().unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.moment, sha256(request.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [date, self.region, self.service, "aws4_request", &text] {
            let next = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key.fill(0);
            key = next.as_ref().to_vec();
        }
        let signature = hexadecimal(&key);
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        )
    }
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

    /// AWS's published test suite for Signature Version 4: those of its requests that are for `/` without a query.
    #[test]
    fn the_published_suite_is_reproduced() {
        let amazon = Amazon {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: None,
            region: "us-east-1",
            service: "service",
            moment: "20150830T123600Z",
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (method, other, body, expected) in [
            ("GET", None, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", None, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "POST",
                Some(form),
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "GET",
                Some(("my-header1", "value2,value2,value1")),
                "",
                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
        ] {
            let mut headers = vec![HOST, DATE];
            headers.extend(other);
            let said = amazon.authorization(method, &mut headers, body.as_bytes());
            let names = match other {
                Some((name, _)) if name < "host" => "content-type;host;x-amz-date",
                Some(_) => "host;my-header1;x-amz-date",
                None => "host;x-amz-date",
            };
            let scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            let whole =
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={expected}");
            assert_eq!(said, whole);
        }
    }

    #[test]
    fn whatever_is_sent_is_signed() {
        let amazon = |secret_key| Amazon {
            access_key: "A",
            secret_key,
            session_token: Some("token"),
            region: "eu-central-1",
            service: "kms",
            moment: "20150830T123600Z",
        };
        let target = [("x-amz-target", "TrentService.Sign")];
        let headers = amazon("secret").headers("h", &target, b"{}");
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["x-amz-date", "x-amz-security-token", "authorization"]);
        let signed = "SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target, ";
        assert!(headers[2].1.contains(signed) && !headers[2].1.contains("secret"), "{}", headers[2].1);
        for other in [
            amazon("secret").headers("i", &target, b"{}"),
            amazon("secret").headers("h", &[("x-amz-target", "TrentService.Encrypt")], b"{}"),
            amazon("secret").headers("h", &target, b"{ }"),
            amazon("secreu").headers("h", &target, b"{}"),
        ] {
            assert_ne!(other[2], headers[2]);
        }
    }
}
