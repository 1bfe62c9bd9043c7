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
