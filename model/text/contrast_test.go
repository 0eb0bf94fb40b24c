package text_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/model/text"
)

// TestNegationsThatTurnTheMeaning: a "not" counts where it stands before what is
// asked for, and not where it only asks, or where the other form says the same with
// "stop" or "cancel".
func TestNegationsThatTurnTheMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prompt, lesson string
		negated        bool
	}{
		{"I don't want to book a table", "I want to book a table", true},
		{"do not restart the server", "restart the server", true},
		{"is it safe or not", "is it safe", false},
		{"I'm not sure if my card works abroad", "does my card work abroad", false},
		{"I can't figure out why my card was declined", "why was my card declined", false},
		{"I don't know how to reset it", "how do I reset it", false},
		{"I don't know my password", "I know my password", true},
		{"don't talk anymore", "stop talking please", false},
		{"don't cancel my order", "cancel my order", true},
		{"I do not want to cancel my order", "cancel my order", true},
		{"I don't need my table for five please cancel it", "cancel my table", false},
		{"I can't log in", "I cannot log in", false},
		{"I can't export my data", "how do I export my data", false},
		{"we are not able to find the car park", "where is the car park", false},
		{"unable to export my data", "how do I export my data", false},
		{"cannot export my data", "how do I export my data", false},
		{"can I not export my data", "how do I export my data", true},
		{"I can't export my data", "I exported my data", true},
		{"how can I not share my data", "how can I share my data", true},
		{"I don't want to export my data", "how do I export my data", true},
	} {
		var a text.Aligner
		f, g := new(text.Form), new(text.Form)
		f.Read(c.prompt)
		g.Read(c.lesson)
		if got := a.Align(f, g).Negated > 0; got != c.negated {
			t.Errorf("%q beside %q: negated %v, want %v", c.prompt, c.lesson, got, c.negated)
		}
		if got := a.Align(g, f).Negated > 0; got != c.negated {
			t.Errorf("%q beside %q: negated %v, want %v", c.lesson, c.prompt, got, c.negated)
		}
	}
}

// What turns the meaning does so in other languages than English too.
func TestOtherLanguagesTurnTheMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prompt, lesson string
		turned         bool
	}{
		{"Wie schalte ich das Licht aus?", "Wie schalte ich das Licht ein?", true},
		{"Wie importiere ich Kontakte?", "Wie exportiere ich Kontakte?", true},
		{"Ich möchte keinen Tisch reservieren", "Ich möchte einen Tisch reservieren", true},
		{"Wie entsperre ich meine Karte?", "Wie sperre ich meine Karte?", true},
		{"Wie verkaufe ich Aktien?", "Wie kaufe ich Aktien?", true},
		{"Wie fahre ich von Bonn nach Köln?", "Wie fahre ich von Köln nach Bonn?", true},
		{"Die Heizung funktioniert nicht", "Die Heizung funktioniert", true},
		{"Wann öffnet die Kasse am Sonntag?", "Wann öffnet die Kasse am Samstag?", true},
		{"Ich weiß nicht, wie ich das Passwort ändere", "Wie ändere ich das Passwort?", false},
		{"Wie habt ihr das Haus gekauft?", "Wie kauft ihr das Haus?", false},
		{"Wie kann ich die Rechnung anschauen?", "Wie kann ich die Rechnung anschaun?", false},
		{"Je ne veux pas annuler mon billet", "Je veux annuler mon billet", true},
		{"Comment débloquer ma carte ?", "Comment bloquer ma carte ?", true},
		{"Comment aller de Paris à Lyon ?", "Comment aller de Lyon à Paris ?", true},
		{"Je ne sais pas comment annuler mon billet", "Comment annuler mon billet ?", false},
		{"Je n'arrive pas à trouver la gare", "Où trouver la gare ?", false},
		{"Ich kann das Licht nicht einschalten", "Wie kann ich das Licht einschalten?", false},
		{"Où est la carte du métro ?", "Quand est la carte du métro ?", true},
		{"¿Cómo desbloqueo mi tarjeta?", "¿Cómo bloqueo mi tarjeta?", true},
		{"¿Cómo voy de Sevilla a Madrid?", "¿Cómo voy de Madrid a Sevilla?", true},
		{"¿Puedo tomarlo sin alcohol?", "¿Puedo tomarlo con alcohol?", true},
		{"No sé cómo cancelar mi pedido", "¿Cómo cancelar mi pedido?", false},
		{"Cosa mangiare dopo l'esame?", "Cosa mangiare prima dell'esame?", true},
		{"Hoe zet ik het geluid niet aan?", "Hoe zet ik het geluid aan?", true},
		{"Come sblocco la carta?", "Come blocco la carta?", true},
		{"how do I reset my spassword", "how do I reset my password", false},
		{"Wie setze ich das Spasswort", "Wie setze ich das Passwort", false},
		{"Comment déconnecter la manette ?", "Comment connecter la manette ?", true},
		{"Jak wyłączyć światło?", "Jak włączyć światło?", true},
		{"Я не хочу отменить заказ", "Я хочу отменить заказ", true},
		{"Vill inte boka ett bord", "Vill boka ett bord", true},
		{"book a table for a party", "a party, book a table", false},
	} {
		var a text.Aligner
		f, g := new(text.Form), new(text.Form)
		f.Read(c.prompt)
		g.Read(c.lesson)
		k := a.Align(f, g)
		if got := k.Negated+k.Opposite+k.Other+k.Swapped+k.Asked > 0; got != c.turned {
			t.Errorf("%q beside %q: turned %v, want %v: %+v", c.prompt, c.lesson, got, c.turned, k)
		}
	}
}
