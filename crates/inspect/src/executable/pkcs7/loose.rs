//! What stands in signed data at places where nothing belongs (RFC 5652, section 5): verifiers step over it, and no
//! signature covers it.

use super::{CANDIDATES_MAX, Certificate, SIGNERS_MAX, Signer, verify};
use crate::executable::der::Element;

/// A structure has so many fields at most, and the information on a signer.
pub(super) const FIELDS_MAX: usize = 8;
const SIGNER_FIELDS_MAX: usize = 7;
/// The list of digest algorithms: one or two, of 15 bytes each.
const ALGORITHMS_MAX_BYTES: usize = 128;

/// Collects it, from a `ContentInfo` and the fields of its `SignedData`.
pub(super) fn of<'a>(
    structure: Element<'a>,
    fields: &[Element<'a>],
    signers: Element<'a>,
    certificates: &[Certificate<'a>],
) -> Vec<Element<'a>> {
    // A type, and the structure.
    let mut loose: Vec<Element> = structure.children().skip(2).take(FIELDS_MAX).collect();
    let explicit = structure.children().nth(1);
    loose.extend(explicit.iter().flat_map(|explicit| explicit.children().skip(1)).take(FIELDS_MAX));
    let data = explicit.and_then(|explicit| explicit.children().next());
    loose.extend(data.iter().flat_map(|data| data.children().skip(FIELDS_MAX)).take(FIELDS_MAX));
    // Version, digest algorithms and content, then lists of certificates and of revocations, then signers.
    let is_signers = |field: &Element| field.whole.as_ptr() == signers.whole.as_ptr();
    let rest = fields.iter().skip(3).filter(|field| !is_signers(field));
    loose.extend(rest.filter(|field| !matches!(field.tag, 0xa0 | 0xa1)));
    let lists = fields.iter().filter(|field| field.tag == 0xa1).flat_map(|field| field.children());
    loose.extend(lists.take(FIELDS_MAX).filter(|list| !is_revocation_list(*list, certificates)));
    loose.extend(fields.get(1).filter(|algorithms| algorithms.content.len() > ALGORITHMS_MAX_BYTES));
    loose.extend(signers.children().take(SIGNERS_MAX).filter(|info| Signer::read(*info).is_none()));
    loose.extend(signers.children().skip(SIGNERS_MAX).take(FIELDS_MAX));
    let infos = signers.children().take(SIGNERS_MAX);
    loose.extend(infos.flat_map(|info| info.children().skip(SIGNER_FIELDS_MAX).take(FIELDS_MAX)));
    loose
}

/// A revocation list (RFC 5280, section 5.1) that one of the certificates has signed.
fn is_revocation_list(list: Element, certificates: &[Certificate]) -> bool {
    let parts: Vec<Element> = list.children().take(4).collect();
    let [body, algorithm, signature] = parts[..] else { return false };
    let issuer = body.children().filter(|field| field.tag == 0x30).nth(1);
    let Some((issuer, signature)) = issuer.zip(signature.content.get(1..)) else { return false };
    let named = certificates.iter().filter(|one| one.subject.whole == issuer.whole).take(CANDIDATES_MAX);
    let mut judged = named.map(|one| verify(one.key, algorithm, None, body.whole, signature));
    judged.any(|signed| signed != Some(false))
}

#[cfg(test)]
mod tests {
    use super::super::Signed;
    use crate::executable::der;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], length.as_slice(), content].concat()
    }

    /// The parts of a structure whose `SignedData` has the fields that `change` made.
    fn found(change: impl Fn(&mut Vec<Vec<u8>>), behind: &[u8]) -> usize {
        let signed = forge::TestSigner::new("x").sign(&forge::PeImage::default().bytes());
        // Revision and type of the entry, then the structure.
        let table = signed.windows(4).rposition(|bytes| bytes == [0, 2, 2, 0]).unwrap();
        let structure = der::next(&mut &signed[table + 4..]).unwrap();
        let mut parts = structure.children();
        let (kind, explicit) = (parts.next().unwrap(), parts.next().unwrap());
        let data = explicit.children().next().unwrap();
        let mut fields: Vec<Vec<u8>> = data.children().map(|field| field.whole.to_vec()).collect();
        change(&mut fields);
        let outer = element(0xa0, &element(0x30, &fields.concat()));
        let whole = element(0x30, &[kind.whole, &outer, behind].concat());
        Signed::read(der::next(&mut whole.as_slice()).unwrap()).unwrap().loose.len()
    }

    #[test]
    fn nothing_is_loose_in_an_honest_structure_and_each_place_is_seen() {
        let noise = element(0x04, &[7; 900]);
        assert_eq!(found(|_| (), b""), 0);
        assert_eq!(found(|_| (), &noise), 1);
        assert_eq!(found(|fields| fields.push(noise.clone()), b""), 1);
        assert_eq!(found(|fields| fields.insert(3, noise.clone()), b""), 1);
        // Revocations that nobody signed.
        assert_eq!(found(|fields| fields.insert(4, element(0xa1, &element(0x30, &noise))), b""), 1);
        assert_eq!(found(|fields| fields[1] = element(0x31, &noise), b""), 1);
        let signer = element(0x30, &noise);
        let more = |fields: &mut Vec<Vec<u8>>| {
            let last = fields.pop().unwrap();
            let signers = der::next(&mut last.as_slice()).unwrap().content.to_vec();
            fields.push(element(0x31, &[signers, signer.clone()].concat()));
        };
        assert_eq!(found(more, b""), 1);
    }
}
