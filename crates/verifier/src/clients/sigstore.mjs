// Verifies a release by a certificate with sigstore-js 4: BUNDLE TRUSTED_ROOT IDENTITY ISSUER ARTIFACT. Modules are looked for in the
// folder that COUNTERSIGN_NODE names, else here.
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire((process.env.COUNTERSIGN_NODE ?? process.cwd()) + "/");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");

const [bundleFile, rootFile, identity, issuer, artifact] = process.argv.slice(2);
const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(rootFile))));
const verifier = new Verifier(trust, { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 });
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundleFile)));
const literally = (text) => "^" + text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + "$";
verifier.verify(toSignedEntity(bundle), {
  subjectAlternativeName: literally(identity),
  extensions: { issuer },
});
// That the statement is about the file is for the caller of sigstore-js to see.
const digest = crypto.createHash("sha256").update(fs.readFileSync(artifact)).digest("hex");
const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) throw new Error("another artifact");
console.log("verified");
