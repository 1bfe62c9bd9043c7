// Verifies a bundle by a managed key with sigstore-js: BUNDLE TRUSTED_ROOT KEY ARTIFACT.
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.COUNTERSIGN_TEST_NODE + "/");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");

const [bundleFile, rootFile, keyFile, artifact] = process.argv.slice(2);
const root = TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(rootFile)));
const publicKey = crypto.createPublicKey(fs.readFileSync(keyFile, "utf8"));
const trust = toTrustMaterial(root, () => ({ publicKey, validFor: () => true }));
const verifier = new Verifier(trust, { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0 });
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundleFile)));
verifier.verify(toSignedEntity(bundle));
// sigstore-js binds an envelope to a key and a log; that it is about the artifact is for its caller to see.
const digest = crypto.createHash("sha256").update(fs.readFileSync(artifact)).digest("hex");
const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) throw new Error("another artifact");
console.log("verified");
