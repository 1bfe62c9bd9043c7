# Verifies a bundle by a managed key with the parts of sigstore-python: BUNDLE TRUSTED_ROOT KEY ARTIFACT.
# Its command line takes certificates only; log entry, proof, checkpoint and envelope are checked by its own code.
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sigstore import dsse
from sigstore._internal.trust import KeyringPurpose
from sigstore.models import TransparencyLogEntry, TrustedRoot
from sigstore_models.bundle.v1 import Bundle

bundle_file, root_file, key_file, artifact = sys.argv[1:5]
bundle = Bundle.from_json(open(bundle_file, "rb").read())
inner = bundle.verification_material.tlog_entries[0]
TransparencyLogEntry(inner)._verify(TrustedRoot.from_file(root_file).rekor_keyring(KeyringPurpose.VERIFY))
envelope = dsse.Envelope(bundle.dsse_envelope)
payload = dsse._verify(load_pem_public_key(open(key_file, "rb").read()), envelope)
entry = json.loads(inner.canonicalized_body)["spec"]["hashedRekordV002"]
signed = dsse._pae(envelope._inner.payload_type, payload)
assert base64.b64decode(entry["data"]["digest"]) == hashlib.sha256(signed).digest(), "another entry"
assert base64.b64decode(entry["signature"]["content"]) == envelope.signature, "another signature"
digest = hashlib.sha256(open(artifact, "rb").read()).hexdigest()
assert any(subject["digest"]["sha256"] == digest for subject in json.loads(payload)["subject"]), "another artifact"
print("verified")
