// Package sigstore runs a whole Sigstore on this machine, without a network,
// for tests of keyless signatures. Its parts are the real ones: Fulcio with an
// ephemeral CA, Rekor v1 over a Trillian log in memory, Rekor v2 on a folder,
// the timestamp authority. An OIDC issuer and a CT log that answers Fulcio are
// written here: there is no small program for either.
//
// Start gives a Stack. Its trusted root is what a verifier needs; its Sign,
// Attest and Verify run the real cosign clients against it.
package sigstore
