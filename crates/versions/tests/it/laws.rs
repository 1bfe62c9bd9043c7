//! The laws of a total order, and what others say.

use std::cmp::Ordering;

use proptest::prelude::*;
use versions::Order;

/// Texts that look like versions, so that most of them can be read.
fn version() -> impl Strategy<Value = String> {
    "v?([0-9]{1,3}:)?[0-9]{1,4}(\\.(0|[0-9]{1,3}|[a-z]{1,5})){0,4}([-._~+^](alpha|beta|rc|dev|post|p|sp|r|ga)?[0-9]{0,2}){0,3}"
}

#[test]
fn the_cycles_that_are_there() {
    let less =
        |order: Order, a: &str, b: &str| assert_eq!(order.compare(a, b), Some(Ordering::Less), "{a} {b}");
    less(Order::Maven, "1", "1-x");
    less(Order::Maven, "1-x", "1.0.rc");
    less(Order::Maven, "1.0.rc", "1");
    less(Order::Alpm, "1-1", "1-2");
    assert_eq!(Order::Alpm.compare("1-1", "1"), Order::Alpm.compare("1", "1-2"));
    less(Order::Composer, "1", "1.1");
    assert_eq!(Order::Composer.compare("1", "1.#"), Order::Composer.compare("1.#", "1.1"));
}

proptest! {
    #[test]
    fn orders_are_total(a in version(), b in version(), c in version()) {
        for order in Order::ALL {
            let (Some(ab), Some(bc), Some(ac)) = (order.compare(&a, &b), order.compare(&b, &c), order.compare(&a, &c))
            else { continue };
            prop_assert_eq!(order.compare(&a, &a), Some(Ordering::Equal));
            prop_assert_eq!(order.compare(&b, &a), Some(ab.reverse()), "{:?}: {} {}", order, a, b);
            // Composer's cycles come with `#` only, which these have not.
            let lawful = !order.has_cycles() || order == Order::Composer;
            if lawful && (ab == bc || bc == Ordering::Equal) {
                prop_assert_eq!(ac, ab, "{:?}: {} {} {}", order, a, b, c);
            }
            let keys = order.key(&a).zip(order.key(&b));
            if lawful {
                prop_assert_eq!(keys.map(|(a, b)| a.cmp(&b)), Some(ab));
            }
        }
    }

    #[test]
    fn no_text_panics(a in "\\PC{0,40}", b in "[0-9a-z.~^#!:+_-]{0,40}") {
        for order in Order::ALL {
            order.compare(&a, &b);
            order.key(&b);
        }
    }

    #[test]
    fn debversion_agrees(a in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,5})?", b in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,5})?") {
        let (Ok(left), Ok(right)) = (a.parse::<debversion::Version>(), b.parse::<debversion::Version>()) else {
            return Ok(());
        };
        prop_assert_eq!(Order::Debian.compare(&a, &b), Some(left.cmp(&right)), "{} {}", a, b);
    }

    #[test]
    fn pep440_rs_agrees(a in version(), b in version()) {
        let (Ok(left), Ok(right)) = (a.parse::<pep440_rs::Version>(), b.parse::<pep440_rs::Version>()) else {
            return Ok(());
        };
        prop_assert_eq!(Order::Pypi.compare(&a, &b), Some(left.cmp(&right)), "{} {}", a, b);
    }

    #[test]
    fn rpm_version_agrees(a in "[0-9a-z.~^_]{1,10}", b in "[0-9a-z.~^_]{1,10}") {
        let expected = rpm_version::rpm_evr_compare(&a, &b);
        prop_assert_eq!(Order::Rpm.compare(&a, &b), Some(expected), "{} {}", a, b);
    }

    #[test]
    fn semver_agrees(a in "[0-9]\\.[0-9]\\.[0-9](-[0-9a-z.]{1,6})?(\\+[a-z]{1,3})?", b in "[0-9]\\.[0-9]\\.[0-9](-[0-9a-z.]{1,6})?(\\+[a-z]{1,3})?") {
        let (Ok(left), Ok(right)) = (semver::Version::parse(&a), semver::Version::parse(&b)) else {
            return Ok(());
        };
        prop_assert_eq!(Order::Semver.compare(&a, &b), Some(left.cmp_precedence(&right)), "{} {}", a, b);
    }
}
