package cli

import (
	"net/url"
	"strings"

	"sexton.dev/check"
	"sexton.dev/lint"
	"sexton.dev/settings"
)

// A sarifLog is what lint prints for code hosts: the parts of SARIF 2.1.0 that they read.
//
// Source: OASIS SARIF 2.1.0; the names of fields are its own.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Results     []sarifResult     `json:"results"`
	Invocations []sarifInvocation `json:"invocations"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    string    `json:"id"`
	Short sarifText `json:"shortDescription"`
	Full  sarifText `json:"fullDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string          `json:"ruleId"`
	RuleIndex    int             `json:"ruleIndex"`
	Level        string          `json:"level"`
	Message      sarifText       `json:"message"`
	Locations    []sarifLocation `json:"locations"`
	Fingerprints sarifPrints     `json:"partialFingerprints"`
}

// sarifPrints tell a finding again when lines were added above it.
type sarifPrints struct {
	ID string `json:"sextonId/v1"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

// A sarifInvocation says what could not be judged.
type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications"`
}

type sarifNotification struct {
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

func sarifOf(found []check.Finding, problems []lint.Problem) sarifLog {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "sexton", Version: Version}}, Results: []sarifResult{}}
	index := map[string]int{}
	for i, r := range settings.Rules() {
		index[r.Name] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{r.Name, sarifText{r.Doc.Summary()}, sarifText{r.Doc.String()}})
	}
	for _, f := range found {
		text := []string{sentence(f.Title), sentence(f.Cause), sentence(f.Harm)}
		for _, a := range f.Advice {
			text = append(text, "To do: "+sentence(a))
		}
		run.Results = append(run.Results, sarifResult{RuleID: f.Check, RuleIndex: index[f.Check], Level: sarifLevel(f.Severity), Message: sarifText{strings.Join(text, " ")},
			Locations: sarifAt(settings.Place{File: f.Subject.File, Line: f.Subject.Line}), Fingerprints: sarifPrints{f.ID}})
	}
	told := sarifInvocation{Successful: len(problems) == 0}
	for _, p := range problems {
		told.Notifications = append(told.Notifications, sarifNotification{"error", sarifText{p.Error() + ". Try: " + p.Try}, sarifAt(p.Place)})
	}
	run.Invocations = []sarifInvocation{told}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifAt is a place, as an address that begins where the tool was started.
func sarifAt(at settings.Place) []sarifLocation {
	l := sarifLocation{sarifPhysical{Artifact: sarifArtifact{(&url.URL{Path: at.File}).String()}}}
	if at.Line > 0 {
		l.Physical.Region = &sarifRegion{at.Line}
	}
	return []sarifLocation{l}
}

func sarifLevel(s check.Severity) string {
	switch s {
	case check.Critical:
		return "error"
	case check.Warning:
		return "warning"
	}
	return "note"
}
