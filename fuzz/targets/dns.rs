//! Questions to the name server of a held-back build, and the answers.
#![no_main]

use host::egress::dns::{Answer, Question};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(question) = Question::read(bytes) else { return };
    let addresses = ["198.18.0.1".parse().expect("an address"), "fd63::1".parse().expect("an address")];
    for answer in [Answer::Addresses(&addresses), Answer::NoName, Answer::Failed] {
        assert_eq!(question.answer(answer)[..2], bytes[..2]);
    }
    // A name that is compared with the list has no other characters than host names do.
    if let Some(name) = host::egress::list::host_name(&question.name) {
        assert_eq!(name, question.name);
    }
});
