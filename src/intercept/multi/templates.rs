//! Multi searches of templates: rendered item by item, then taken as a multi search of what they become.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Response, header};

use super::{Flight, Multi, Part};
use crate::{
    body::Body,
    es::{
        msearch::{self, MultiSearch},
        template::Template,
    },
    intercept::{
        asked::Asked,
        render::{NotRendered, Rendering},
    },
    rerank::Reason,
};

/// A call of more templates is not looked into: each may be one more request.
const MOST_TEMPLATES: usize = 32;

impl Multi {
    /// Has the engine render the templates, and takes the searches that they become; all or none, since they go out as one call.
    pub(super) async fn render(&self, asked: &Asked, sent: MultiSearch<'_>, mut parts: Vec<Part>) -> Response<Body> {
        let all_ruled = parts.iter().all(|part| part.rule.is_ok());
        let rendered = if all_ruled && parts.len() <= MOST_TEMPLATES {
            join_all(sent.items.iter().zip(&parts).map(|(item, part)| self.rendered(asked, item, part))).await
        } else {
            parts.iter().map(|part| Err(part.rule.as_ref().err().copied().unwrap_or(Reason::Unsupported).into())).collect()
        };
        if rendered.iter().any(Result::is_err) {
            let (mut plans, mut answer) = (Vec::new(), None);
            for failure in rendered.into_iter().map(Result::err) {
                plans.push(Err(failure.as_ref().map_or(Reason::Unsupported, NotRendered::reason)));
                answer = answer.or(failure.and_then(NotRendered::answer));
            }
            let flight = Flight { asked, call: sent.clone(), sent, parts: &parts, plans };
            return match answer {
                Some(answer) => self.finish(&flight, answer, Reason::UpstreamStatus),
                None => self.resend(&flight, Reason::Unsupported).await,
            };
        }
        let mut bodies = Vec::new();
        for ((body, params), part) in rendered.into_iter().flatten().zip(&mut parts) {
            bodies.push(Some(body.into_bytes()));
            part.params = params;
        }
        let lines = sent.with_bodies(&bodies);
        let Ok(call) = MultiSearch::read(&lines) else { return self.forward(asked.again(), Reason::Internal).await };
        let plans = self.plan(asked, &call, &parts);
        self.take(Flight { asked, sent, call, parts: &parts, plans }).await
    }

    /// Returns the search that one template becomes, and the template's parameters.
    async fn rendered(&self, asked: &Asked, item: &msearch::Item<'_>, part: &Part) -> Result<(String, Option<String>), NotRendered> {
        let template = Template::read(item.body).map_err(Reason::from)?;
        let content_type = asked.text(header::CONTENT_TYPE).map(|declared| declared.to_ascii_lowercase().replacen("x-ndjson", "json", 1));
        let total = part.rule.as_ref().map_or(Duration::ZERO, |rule| rule.total_timeout);
        let left = total.saturating_sub(self.started.elapsed());
        let rendering = Rendering { asked, body: item.body, template: &template, content_type, left };
        Ok((rendering.search(&self.intercept).await?, template.params.map(str::to_owned)))
    }
}
