use crate::sandbox::Sandbox;

#[test]
fn the_3cx_drill_is_caught() {
    let sandbox = Sandbox::bare();
    let score = sandbox.ok(&["drill", "run", "3cx", "--json"]).json();
    assert_eq!(score["verdict"], "caught");
    let steps = score["scores"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 4);
    let evidence = score.to_string();
    assert!(evidence.contains("ffmpeg.dll") && evidence.contains("d3dcompiler_47.dll"), "{evidence}");
    assert!(steps.iter().all(|step| step["seconds"].as_f64().unwrap() > 0.0));
}

#[test]
fn the_3cx_drill_fails_without_any_one_control() {
    let sandbox = Sandbox::bare();
    let listed = sandbox.ok(&["drill", "list", "--json"]).json();
    let controls = listed["drills"][0]["controls"].as_array().unwrap();
    assert!(controls.len() >= 4);
    for control in controls {
        let name = control["name"].as_str().unwrap();
        let missed = sandbox.run(&["drill", "run", "3cx", "--without", name, "--json"]);
        assert_eq!((missed.code, missed.json()["verdict"].as_str()), (1, Some("missed")), "{name}");
        for step in missed.json()["scores"][0]["steps"].as_array().unwrap() {
            if step["control"] == name {
                assert_eq!(step["caught"], false, "{name}");
            }
        }
    }
    assert_eq!(sandbox.run(&["drill", "run", "3cx", "--without", "nothing"]).code, 2);
    assert_eq!(sandbox.run(&["drill", "run", "nothing"]).code, 2);
}
