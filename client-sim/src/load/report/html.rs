impl super::Report {
    pub(in crate::load) fn html(&self) -> String {
        String::new()
    }
}
