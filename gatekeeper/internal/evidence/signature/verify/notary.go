package verify

// notary is an authority of the Notary Project, made ready.
type notary struct{ id string }

func prepareNotary(n Notary) (notary, error) { return notary{id: n.ID}, nil }

func (t *Trusted) notary(Item) (Answer, error) {
	return signers{}.answer(), nil
}
