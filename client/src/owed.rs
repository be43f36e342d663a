//! What the server has not heard yet of updates that are over.
//!
//! A device does not wait for a server that is out of reach: after its retries the update ends, and
//! how it ended is kept here, in the journal, until the server has heard it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::machine::{DeploymentId, Owed};

/// More reports are not kept. As many logs are, besides that of an update under way.
const MOST: usize = 4;

/// What is owed of one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedReport {
    pub deployment_id: DeploymentId,
    pub owed: Owed,
}

/// The oldest first; one of each deployment, and not more than four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OwedReports(Vec<OwedReport>);

impl OwedReports {
    /// Whether the server knows how every update ended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is owed, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &OwedReport> {
        self.0.iter()
    }

    /// What is owed of a deployment.
    pub fn owes(&self, deployment_id: &DeploymentId) -> Option<Owed> {
        let report = self.0.iter().find(|report| report.deployment_id == *deployment_id);
        report.map(|report| report.owed)
    }

    /// Whether the server does not know yet how a deployment has ended.
    pub fn owes_end(&self, deployment_id: &DeploymentId) -> bool {
        matches!(self.owes(deployment_id), Some(Owed::Success | Owed::Failure))
    }

    /// Notes what is owed of a deployment now. Returns the oldest, if that has to go for it.
    pub fn owe(&mut self, deployment_id: &DeploymentId, owed: Owed) -> Option<OwedReport> {
        if let Some(known) = self.0.iter_mut().find(|known| known.deployment_id == *deployment_id) {
            known.owed = owed;
            return None;
        }
        let dropped = (self.0.len() >= MOST).then(|| self.0.remove(0));
        self.0.push(OwedReport { deployment_id: deployment_id.clone(), owed });
        dropped
    }

    /// Nothing more is owed of a deployment.
    pub fn settle(&mut self, deployment_id: &DeploymentId) {
        self.0.retain(|report| report.deployment_id != *deployment_id);
    }
}

/// What a newer client wrote, and this one does not understand, is forgotten: it must not cost the
/// rest of the journal.
impl<'de> Deserialize<'de> for OwedReports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let entries = value.as_array().into_iter().flatten();
        let reports = entries.filter_map(|entry| OwedReport::deserialize(entry).ok());
        Ok(Self(reports.take(MOST).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> DeploymentId {
        DeploymentId::try_from(format!("d{number}")).unwrap()
    }

    fn all(reports: &OwedReports) -> Vec<(&str, Owed)> {
        reports.iter().map(|report| (report.deployment_id.as_str(), report.owed)).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut reports = OwedReports::default();
        for number in 0..MOST {
            assert_eq!(reports.owe(&id(number), Owed::Success), None);
        }
        let dropped = reports.owe(&id(MOST), Owed::Failure);
        assert_eq!(dropped.map(|report| report.deployment_id), Some(id(0)));
        let expected = [
            ("d1", Owed::Success),
            ("d2", Owed::Success),
            ("d3", Owed::Success),
            ("d4", Owed::Failure),
        ];
        assert_eq!(all(&reports), expected);
    }

    #[test]
    fn a_deployment_is_owed_once_and_keeps_its_place() {
        let mut reports = OwedReports::default();
        reports.owe(&id(1), Owed::Failure);
        reports.owe(&id(2), Owed::Success);
        reports.owe(&id(1), Owed::Log);
        assert_eq!(all(&reports), [("d1", Owed::Log), ("d2", Owed::Success)]);
        reports.settle(&id(1));
        assert_eq!(all(&reports), [("d2", Owed::Success)]);
    }

    #[test]
    fn what_a_newer_client_owes_in_other_words_is_forgotten_alone() {
        let known = r#"{"deployment_id":"d1","owed":"failure"}"#;
        for (json, expected) in [
            (format!("[{known}]"), vec![("d1", Owed::Failure)]),
            (
                format!(r#"[{{"deployment_id":"d0","owed":"thanks"}},{known}]"#),
                vec![("d1", Owed::Failure)],
            ),
            ("{}".to_owned(), vec![]),
        ] {
            let reports: OwedReports = serde_json::from_str(&json).unwrap();
            assert_eq!(all(&reports), expected, "{json}");
        }
    }
}
