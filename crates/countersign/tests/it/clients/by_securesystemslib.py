# Verifies a bundle's envelope with securesystemslib, in-toto's library: BUNDLE TRUSTED_ROOT KEY ARTIFACT.
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature, SSlibKey

bundle_file, _, key_file, artifact = sys.argv[1:5]
key = SSlibKey.from_crypto(load_pem_public_key(open(key_file, "rb").read()))
envelope = json.load(open(bundle_file))["dsseEnvelope"]
signature = Signature(key.keyid, base64.b64decode(envelope["signatures"][0]["sig"]).hex())
payload = base64.b64decode(envelope["payload"])
Envelope(payload, envelope["payloadType"], {key.keyid: signature}).verify([key], 1)
digest = hashlib.sha256(open(artifact, "rb").read()).hexdigest()
assert any(subject["digest"]["sha256"] == digest for subject in json.loads(payload)["subject"]), "another artifact"
print("verified")
