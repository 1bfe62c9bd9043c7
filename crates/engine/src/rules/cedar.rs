//! Cedar: principals are `Person::"NAME"` and `Key::"SHORT"`, actions `Action::"builder"`, `"signer"`, `"approver"`, `"releaser"` and
//! `"auditor"`, the resource is the `Product::"NAME"` of the record (`Product::""` where there is none), `context.key` is the key.

use std::str::FromStr as _;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
};
use evidence::record::Record;
use judge::roles::Actor;
use serde_json::json;

/// Asks whether somebody may do what they do. An error in any rule is no answer: the one that fails may be the one that forbids.
pub(super) fn permitted(
    files: &[(&str, &str)],
    actor: &Actor,
    record: Option<&Record>,
) -> Result<bool, String> {
    let text: Vec<&str> = files.iter().map(|(_, text)| *text).collect();
    let policies = PolicySet::from_str(&text.join("\n"))
        .map_err(|error| format!("the rules cannot be read: {error}"))?;
    let principal = match &actor.person {
        Some(person) => entity("Person", person)?,
        None => entity("Key", &actor.key)?,
    };
    let action = entity("Action", actor.role.word())?;
    let resource = entity("Product", record.map_or("", |record| record.product.as_str()))?;
    let context =
        Context::from_json_value(json!({"key": actor.key}), None).map_err(|error| error.to_string())?;
    let request =
        Request::new(principal, action, resource, context, None).map_err(|error| error.to_string())?;
    let response = Authorizer::new().is_authorized(&request, &policies, &Entities::empty());
    if let Some(error) = response.diagnostics().errors().next() {
        return Err(error.to_string());
    }
    Ok(response.decision() == Decision::Allow)
}

fn entity(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

#[cfg(test)]
mod tests {
    use judge::roles::Role;

    use super::*;

    fn ask(text: &str, person: Option<&str>) -> Result<bool, String> {
        let actor = Actor { role: Role::Signer, key: "2a47".into(), person: person.map(str::to_owned) };
        permitted(&[("a.cedar", text)], &actor, None)
    }

    #[test]
    fn what_no_rule_permits_is_denied() {
        let rule = "permit(principal == Key::\"2a47\", action == Action::\"signer\", resource);";
        assert_eq!(ask(rule, None), Ok(true));
        assert_eq!(ask(rule, Some("anna")), Ok(false));
        assert_eq!(ask("", None), Ok(false));
        let forbidden =
            format!("{rule} forbid(principal, action, resource) when {{ context.key == \"2a47\" }};");
        assert_eq!(ask(&forbidden, None), Ok(false));
    }

    #[test]
    fn a_rule_that_fails_is_no_yes() {
        let rule = "permit(principal, action, resource);";
        assert!(
            ask(&format!("{rule} forbid(principal, action, resource) when {{ context.nothing }};"), None)
                .is_err()
        );
        assert!(ask(&format!("{rule} forbid("), None).is_err());
    }
}
